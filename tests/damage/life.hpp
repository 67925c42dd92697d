// Life: one process that uses a damaged buffer as an agent does, and judges what it gets.
#pragma once

#include <filesystem>

#include "tests/damage/scene.hpp"

namespace penstock::tests::damage {

enum class Outcome : int {
  whole = 0,     ///< all is there
  told = 10,     ///< what is missing became losses
  renewed = 11,  ///< the buffer was set aside: a new epoch
  unsound = 12,  ///< numbers are missing without a word, or told as lost although they came
  again = 13,    ///< damage was met in use: the buffer has to be opened anew
  wrong = 20,    ///< wrong data, or numbers used twice
};

enum class Use {
  read,   ///< all of it goes as it is
  limit,  ///< rows are purged and dropped before
};

/// Opens, reads and acknowledges all, stores more, closes. Says on stderr what is wrong.
Outcome live(const std::filesystem::path& directory, const Scene& scene, Use use);

}  // namespace penstock::tests::damage
