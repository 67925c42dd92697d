// Fuzz target: any stream in any framing, whole and in pieces: the messages must be the same, and
// no more than a message may be held.
#include <string>
#include <vector>

#include "agent/base/assert.hpp"
#include "connectors/support/framer.hpp"

using penstock::connectors::support::Framer;
using penstock::connectors::support::Framing;

namespace {

struct Outcome {
  std::vector<std::pair<std::string, bool>> messages;
  bool is_good = true;
  std::size_t lost = 0;
};

Outcome framed(Framing framing, std::size_t bytes_max, std::string_view data, std::size_t piece) {
  Framer framer(framing, bytes_max);
  Outcome outcome;
  const auto take = [&](std::string_view text, bool is_cut) {
    PENSTOCK_ASSERT(text.size() <= bytes_max);
    outcome.messages.emplace_back(text, is_cut);
  };
  while (!data.empty() && outcome.is_good) {
    const std::string_view front = data.substr(0, piece);
    outcome.is_good = framer.feed(std::string(front), take);
    data.remove_prefix(front.size());
    PENSTOCK_ASSERT(framer.pending().size() <= bytes_max + 16);
  }
  outcome.lost = framer.finish(take);
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto framing = static_cast<Framing>(data[0] % 9);
  const std::size_t bytes_max = 1 + data[1] % 32;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t piece = 1 + (data[0] / 9) % 7;
  const Outcome whole = framed(framing, bytes_max, stream, stream.size() + 1);
  const Outcome pieces = framed(framing, bytes_max, stream, piece);
  PENSTOCK_ASSERT(whole.messages == pieces.messages);
  PENSTOCK_ASSERT(whole.is_good == pieces.is_good);
  PENSTOCK_ASSERT(!whole.is_good || whole.lost == pieces.lost);
  return 0;
}
