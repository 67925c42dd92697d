// Certificates made by openssl for one test.
#pragma once

#include <string>

namespace penstock::forward::tests {

/// An authority in a directory of its own files: NAME.crt and NAME.key, and those that it signs.
/// Throws std::runtime_error when openssl fails.
class Authority {
 public:
  Authority(std::string dir, std::string name);

  struct Wanted {
    std::string alternative = "DNS:localhost";  ///< subjectAltName
    std::string from = "20200101000000Z";
    std::string until = "20990101000000Z";
    std::string key_password{};  ///< "": the key is not encrypted
  };
  /// Writes NAME.crt and NAME.key; both are replaced whole, as a renewal would do it.
  void sign(const std::string& name, const Wanted& wanted) const;
  void sign(const std::string& name) const { sign(name, Wanted()); }

 private:
  std::string dir_;
  std::string name_;
};

/// So many days from now, as `Wanted::until` has it.
std::string days_from_now(int days);

}  // namespace penstock::forward::tests
