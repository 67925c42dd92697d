// Secrets: read only where nobody else can, and never seen in any text.
#include "config/secret.hpp"

#include <sys/stat.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <cstdio>

#include "tests/config/fixture.hpp"

namespace penstock::config::tests {
namespace {

constexpr Option options[] = {
    {.name = "pin", .type = OptionType::secret, .doc = "Access code"},
};

/// A file with a secret in it.
struct SecretFile {
  explicit SecretFile(std::string_view content, mode_t mode = 0600) {
    penstock::tests::write_file(path, content);
    REQUIRE(::chmod(path.c_str(), mode) == 0);
  }
  penstock::tests::TempDir directory;
  std::filesystem::path path = directory / "pin";
};

Result<Secret> secret_of(const std::string& reference) {
  Diagnostics diagnostics;
  auto section = Section::parse("pin: " + reference + "\n", options, diagnostics);
  INFO(diagnostics.to_text(false));
  REQUIRE(section.ok());
  return section->secret("pin");
}

}  // namespace

TEST_CASE("the forms of a secret", "[config]") {
  const SecretFile file("s3cret\n");
  CHECK(secret_of("{file: " + file.path.string() + "}")->reveal() == "s3cret");

  const Variable variable("PENSTOCK_T_SECRET", "from $HOME ${HOME}");
  CHECK(secret_of("{env: PENSTOCK_T_SECRET}")->reveal() == "from $HOME ${HOME}");

  const Variable directory("CREDENTIALS_DIRECTORY", file.directory.path().c_str());
  CHECK(secret_of("{credential: pin}")->reveal() == "s3cret");
  CHECK(secret_of("{credential: none}").error().code == Errc::unavailable);
}

TEST_CASE("one line end is dropped, and what is inside stays", "[config]") {
  struct Row {
    std::string content;
    std::string want;
  };
  const auto row = GENERATE(values<Row>({{"a", "a"},
                                         {"a\r\n", "a"},
                                         {"a\n\n", "a\n"},
                                         {" ${HOME} $$ ", " ${HOME} $$ "},
                                         {"\xff\x01", "\xff\x01"}}));
  const SecretFile file(row.content);
  CHECK(secret_of("{file: " + file.path.string() + "}")->reveal() == row.want);
}

TEST_CASE("a changed file is seen at the next reading", "[config]") {
  const SecretFile file("old");
  Diagnostics diagnostics;
  const auto section =
      Section::parse("pin: {file: " + file.path.string() + "}\n", options, diagnostics);
  CHECK(section->secret("pin")->reveal() == "old");
  penstock::tests::write_file(file.path, "new");
  CHECK(section->secret("pin")->reveal() == "new");
  CHECK(Section::defaults(options).secret("pin")->is_empty());
}

TEST_CASE("files that others may read are refused", "[config]") {
  const mode_t mode = GENERATE(as<mode_t>{}, 0640, 0604, 0620, 0602, 0666, 0700 | 0001);
  const SecretFile file("canary", mode);
  const auto secret = secret_of("{file: " + file.path.string() + "}");
  REQUIRE_FALSE(secret.ok());
  CHECK(secret.error().code == Errc::invalid);
  CHECK_THAT(secret.error().text, Catch::Contains("chmod 600"));
  CHECK_THAT(secret.error().text, !Catch::Contains("canary"));
}

TEST_CASE("what is no plain file of ours is refused", "[config]") {
  const SecretFile file("canary");
  const auto error_of = [&](const std::filesystem::path& path) {
    const auto secret = secret_of("{file: " + path.string() + "}");
    REQUIRE_FALSE(secret.ok());
    return secret.error();
  };
  const auto link = file.directory / "link";
  std::filesystem::create_symlink(file.path, link);
  CHECK_THAT(error_of(link).text, Catch::Contains("symbolic link"));
  const auto fifo = file.directory / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK_THAT(error_of(fifo).text, Catch::Contains("not a regular file"));
  CHECK_THAT(error_of(file.directory.path()).text, Catch::Contains("not a regular file"));
  penstock::tests::write_file(file.path, "");
  CHECK_THAT(error_of(file.path).text, Catch::Contains("is empty"));
  penstock::tests::write_file(file.path, std::string(secret_bytes_max + 1, 'x'));
  CHECK_THAT(error_of(file.path).text, Catch::Contains("too long"));
  CHECK(error_of(file.directory / "none").code == Errc::unavailable);
  if (::geteuid() == 0) {
    penstock::tests::write_file(file.path, "canary");
    REQUIRE(::chown(file.path.c_str(), 12345, 12345) == 0);
    // root may read it, but whoever owns it could change it
    CHECK_THAT(error_of(file.path).text, Catch::Contains("belongs to another user"));
  }
}

TEST_CASE("no output ever holds a secret", "[config]") {
  const SecretFile file("canary-1");
  const Variable variable("PENSTOCK_T_CANARY", "canary-2");
  const auto contains_canary = [](const Run& run) {
    std::string all = run.text() + run.diagnostics.to_text(true) + run.diagnostics.to_json();
    all += run.error.text;
    if (run.loaded) {
      all += run.loaded->shown_text + run.loaded->shown_with_origin + run.loaded->shown_json;
    }
    return all.find("canary") != std::string::npos;
  };
  const std::string good =
      "upstream:\n  brokers: [mqtts://b]\n  user: u\n  password: {file: " + file.path.string() +
      "}\nconnectors:\n  x:\n    type: plc\n" + "    address: http://user:canary@plc:80/\n" +
      "    pin: {env: PENSTOCK_T_CANARY}\n";
  const Run run(good);
  INFO(run.text());
  REQUIRE(run.is_ok());
  CHECK_FALSE(contains_canary(run));
  CHECK_THAT(run.loaded->shown_text, Catch::Contains("env: PENSTOCK_T_CANARY"));

  const std::string head = "upstream:\n  brokers: [mqtts://b]\n  user: u\n  ";
  const auto* bad =
      GENERATE("password: canary\n", "password: \"canary\"\n", "{password: canary, zzz: 1}\n",
               "password: [canary]\n", "password: {vault: canary}\n", "pasword: canary\n",
               "passwort: canary\n", "password: \"canary\n", "password: |\n    canary\n",
               "password: !x canary\n", "password: &x canary\n", "tls: {password: canary}\n",
               "password: {file: /a, plain: canary}\n", "brokers: mqtt://u:canary@b\n");
  INFO(bad);
  const Run broken(head + bad);
  INFO(broken.text());
  CHECK_FALSE(broken.is_ok());
  CHECK_FALSE(contains_canary(broken));
}

}  // namespace penstock::config::tests
