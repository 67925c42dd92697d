#include "tests/support/made_connector.hpp"

#include <stdexcept>

namespace penstock::tests {
namespace {

std::unique_ptr<connectors::Connector> made(const connectors::ConnectorType& type,
                                            std::string_view yaml,
                                            config::Diagnostics& diagnostics) {
  const auto section = config::Section::parse(yaml, type.options, diagnostics);
  if (!section.ok()) return nullptr;
  auto connector = type.make(*section);
  return connector.ok() ? *std::move(connector) : nullptr;
}

}  // namespace

std::unique_ptr<connectors::Connector> make_connector(const connectors::ConnectorType& type,
                                                      std::string_view yaml) {
  config::Diagnostics diagnostics;
  auto connector = made(type, yaml, diagnostics);
  if (!connector) throw std::runtime_error("refused:\n" + diagnostics.to_text(false));
  return connector;
}

std::string refusal_of(const connectors::ConnectorType& type, std::string_view yaml) {
  config::Diagnostics diagnostics;
  return made(type, yaml, diagnostics) ? "" : diagnostics.to_text(false);
}

}  // namespace penstock::tests
