// The influx line decoder; see make_decoder.
#pragma once

#include <memory>

#include "connectors/support/decoder.hpp"

namespace penstock::connectors::support {

std::unique_ptr<Decoder> make_influx_decoder(const DecodeOptions& options);

}  // namespace penstock::connectors::support
