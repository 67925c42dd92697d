// Faults: where tests make a commit fail. The agent opens its store without any.
#pragma once

#include <functional>
#include <memory>

#include "buffer/store.hpp"

namespace penstock::buffer {

/// Each returns whether to fail. Called on the committing thread, inside its turn; an empty one
/// never fails.
struct Faults {
  std::function<bool()>
      before_commit;                   ///< LMDB's commit is reported as failed; nothing was written
  std::function<bool()> after_commit;  ///< the same, and yet everything was written
  std::function<bool()> reopen;        ///< the file cannot be opened again for now
  std::function<bool()> sync_names;    ///< what became of the file's name is not durable
};

/// Store::open with faults, which must outlive the store.
Result<std::unique_ptr<Store>> open_with_faults(const StoreOptions& options, OpenReport& report,
                                                const Clock& clock, const Faults& faults);

}  // namespace penstock::buffer
