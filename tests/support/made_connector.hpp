// Connectors made from YAML, with the type's own options alone.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "connectors/api/connector.hpp"

namespace penstock::tests {

/// Throws what is wrong with the options, which fails the test.
std::unique_ptr<connectors::Connector> make_connector(const connectors::ConnectorType& type,
                                                      std::string_view yaml);
/// What is wrong with the options; "" if they are taken.
std::string refusal_of(const connectors::ConnectorType& type, std::string_view yaml);

}  // namespace penstock::tests
