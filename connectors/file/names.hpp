// How log rotation names files: app.log.1, app.log-20260101, app-20260101.log, app.log.old.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace penstock::connectors::file {

std::string_view name_of(std::string_view path);
/// Without the final slash; "/" for a file in the root.
std::string_view directory_of(std::string_view path);
std::string join(std::string_view directory, std::string_view name);

/// Whether `name` is what a rotation of `base` is called in the same directory. Compressed names
/// (app.log.1.gz) are not.
bool is_rotated_name(std::string_view base, std::string_view name);

/// The names of which `name` may be a rotation.
std::vector<std::string> rotation_bases(std::string_view name);

/// The name with each run of digits as "#": rotations of one file have one shape.
std::string shape_of(std::string_view name);

/// Of two names of one shape: whether `a` was rotated before `b`. Short numbers rise with age
/// (app.log.2 is older than app.log.1), dates and times fall.
bool is_older_name(std::string_view a, std::string_view b);

}  // namespace penstock::connectors::file
