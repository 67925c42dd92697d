// JsonLine: builds one JSON object on one line, member by member; foreign text is escaped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/text.hpp"

namespace penstock::daemon {

/// Members appear in the order of the calls; names are ours and not escaped. Thread: owner only.
class JsonLine {
 public:
  JsonLine& text(std::string_view name, std::string_view value) {
    open(name);
    append_json_string(out_, value);
    return *this;
  }
  JsonLine& number(std::string_view name, std::uint64_t value) {
    open(name);
    out_ += std::to_string(value);
    return *this;
  }
  JsonLine& decimal(std::string_view name, double value) {
    open(name);
    append_json_double(out_, value);
    return *this;
  }
  JsonLine& boolean(std::string_view name, bool value) {
    open(name);
    out_ += value ? "true" : "false";
    return *this;
  }
  /// UTC, µs since 1970, as text; 0 becomes null.
  JsonLine& time(std::string_view name, std::int64_t time_unix_us) {
    open(name);
    if (time_unix_us == 0) {
      out_ += "null";
      return *this;
    }
    out_ += '"';
    append_time(out_, time_unix_us);
    out_ += '"';
    return *this;
  }
  /// `json` is a complete JSON value.
  JsonLine& raw(std::string_view name, std::string_view json) {
    open(name);
    out_ += json;
    return *this;
  }

  /// The object; the builder is empty afterwards.
  std::string take() {
    std::string done = std::move(out_);
    done += done.empty() ? "{}" : "}";
    out_.clear();
    return done;
  }

 private:
  void open(std::string_view name) {
    out_ += out_.empty() ? "{\"" : ",\"";
    out_ += name;
    out_ += "\":";
  }

  std::string out_;
};

}  // namespace penstock::daemon
