// Marked sections: the parts of a document that are made from the program, between two comments.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace penstock::tests {

/// The part between `<!-- NAME -->` and `<!-- /options -->`, without them, nullopt if there is
/// none. name: "options", "options:buffer".
std::optional<std::string> marked_section(std::string_view document, std::string_view name);

/// The document with that part replaced; `content` gets a line end if it has none. The document
/// unchanged if there is no such part.
std::string replace_marked(std::string_view document, std::string_view name,
                           std::string_view content);

}  // namespace penstock::tests
