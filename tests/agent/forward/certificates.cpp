#include "tests/agent/forward/certificates.hpp"

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include "tests/support/temp_dir.hpp"

namespace penstock::forward::tests {
namespace {

constexpr const char* new_key = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 ";

void run_or_throw(const std::string& command) {
  if (std::system((command + " >/dev/null 2>&1").c_str()) != 0) throw std::runtime_error(command);
}

}  // namespace

Authority::Authority(std::string dir, std::string name)
    : dir_(std::move(dir)), name_(std::move(name)) {
  const std::string base = dir_ + "/" + name_;
  run_or_throw(new_key + ("-nodes -x509 -days 2 -subj /CN=" + name_) + " -keyout " + base +
               ".key -out " + base + ".crt");
  penstock::tests::write_file(base + ".index", "");
  penstock::tests::write_file(
      base + ".conf", "[ca]\ndefault_ca = it\n[it]\nnew_certs_dir = " + dir_ + "\ndatabase = " +
                          base + ".index\nrand_serial = yes\npolicy = any\ndefault_md = sha256\n" +
                          "unique_subject = no\n[any]\ncommonName = supplied\n");
}

void Authority::sign(const std::string& name, const Wanted& wanted) const {
  const std::string base = dir_ + "/" + name;
  const std::string own = dir_ + "/" + name_;
  penstock::tests::write_file(base + ".ext", "subjectAltName=" + wanted.alternative + "\n");
  const std::string key =
      wanted.key_password.empty() ? "-nodes " : "-passout pass:" + wanted.key_password + " ";
  run_or_throw(new_key + key + "-subj /CN=" + name + " -keyout " + base + ".key.new -out " + base +
               ".csr");
  run_or_throw("openssl ca -batch -notext -config " + own + ".conf -keyfile " + own +
               ".key -cert " + own + ".crt -startdate " + wanted.from + " -enddate " +
               wanted.until + " -in " + base + ".csr -out " + base + ".crt.new -extfile " + base +
               ".ext");
  for (const char* kind : {".key", ".crt"}) {
    std::filesystem::rename(base + kind + ".new", base + kind);
  }
}

std::string days_from_now(int days) {
  const std::time_t at = std::time(nullptr) + std::time_t{days} * 86'400;
  std::tm utc{};
  ::gmtime_r(&at, &utc);
  char text[32];
  std::strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &utc);
  return text;
}

}  // namespace penstock::forward::tests
