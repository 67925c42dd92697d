// Life: a buffer in which something is about to happen, what may be in it afterwards, and the
// check of that. An operation is lived through once without a failure and then again for each call
// that may fail in it.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/buffer/failing/failing_calls.hpp"
#include "tests/buffer/store_fixture.hpp"

namespace penstock::tests {

/// What somebody who looks at a buffer sees.
struct Sight {
  std::map<std::string, std::uint64_t> next_seq;         ///< by stream
  std::map<std::string, std::vector<std::string>> rows;  ///< by stream, in order, one line each
  std::map<std::string, std::string> positions;
  std::vector<std::string> problems;  ///< what verify finds, or what cannot be read

  bool operator==(const Sight&) const = default;
};

/// Of a store; everything in it is read.
Sight sight_of(buffer::Store& store);

class Life : public StoreFixture {
 public:
  /// With what is known of the stream.
  buffer::StreamState& of(const std::string& name) { return states_[name]; }
  void know(const std::string& name, buffer::Priority priority, buffer::WhenFull when_full) {
    states_[name] = stream(name, priority, when_full);
  }
  void acknowledge_all();

  Request request;  ///< for a commit that may have to be repeated
  std::vector<buffer::RowPlace> places;
  int fails_once = 0;          ///< for a fault of the store's own
  bool has_committed = false;  ///< the request is not to be repeated
  std::string next_epoch_of;   ///< the epoch that is to end

 private:
  std::map<std::string, buffer::StreamState> states_;
};

struct Operation {
  const char* name;
  std::function<void(Life&)> begin;        ///< what is in the buffer before
  std::function<void(Life&)> arrange;      ///< in each run, before anything fails
  std::function<Result<void>(Life&)> act;  ///< may be called again after a failure
  bool has_drops = false;                  ///< what goes depends on where the failure was
  bool tells_all = true;                   ///< what it answers says whether it was done
  bool may_set_aside = false;              ///< a file that is of no more use to it
};

/// The operations that are tried; each one is of another kind.
std::vector<Operation> operations();
/// Of them, those that begin without an open store. begin_mixed: makes a buffer with a bit of all.
std::vector<Operation> starts(const std::function<void(Life&)>& begin_mixed);

/// Lives through an operation again and again; the n-th call fails, for n = 1, 1 + step … until
/// there are no more. Checks after each that the error has its place, that everything committed is
/// there in a store that is opened anew, that nothing is there in part, and that the operation
/// succeeds when it is tried again. Returns how many calls failed.
std::uint64_t fail_each_call(const Operation& operation, Failure failure, std::uint64_t in_a_row,
                             std::uint64_t first, std::uint64_t step);

}  // namespace penstock::tests
