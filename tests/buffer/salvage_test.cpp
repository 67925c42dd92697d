// What was not forwarded must come out of a broken file as far as its bytes are right, and nothing
// that is not.
#include "buffer/salvage.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <random>

#include "buffer/parking.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;
namespace fs = std::filesystem;

namespace {

class SalvageFixture : public StoreFixture {
 public:
  fs::path file() const { return options.path / "buffer.mdb"; }

  static std::string content_for(int batch) {
    // The opening members as the wire contract has them, since they tell the epoch.
    return R"([{"time":"t","device":"gw-7","stream":"app","epoch":"EEEEEEEE","seq":1,"x":")" +
           std::to_string(batch) + std::string(batch % 3 == 0 ? 20 : 5000, 'a' + batch % 26) +
           "\"}]";
  }
  std::string content_with_epoch(int batch) const {
    std::string text = content_for(batch);
    return text.replace(text.find("EEEEEEEE"), 8, epoch);
  }
  void make(int batches) {
    open();
    epoch = store->epoch();
    StreamState app = stream("app");
    StreamState other = stream("other", Priority::low);
    for (int i = 0; i < batches; ++i) {
      commit(
          Request().batch(app, 10, content_with_epoch(i)).batch(other, 1, content_with_epoch(i)));
    }
    commit(Request().loss(app, 7, LossReason::source));
    store->close();
    store.reset();
  }
  static Salvage scan(const fs::path& file) {
    auto salvage = Salvage::scan(file, {});
    INFO((salvage.ok() ? std::string() : salvage.error().text));
    REQUIRE(salvage.ok());
    return std::move(salvage).value();
  }
  /// Every row found is one that was stored, whole. Returns how many batches of "app" there are.
  int check_rows(const Salvage& salvage) {
    int found = 0;
    for (std::size_t i = 0; i < salvage.size(); ++i) {
      const auto row = salvage.row(i);
      REQUIRE(row.ok());
      if (row->kind == RowKind::loss) {
        CHECK(row->key.count == 7);
        continue;
      }
      const int batch = static_cast<int>(row->key.seq / row->key.count);
      CHECK(content_of(*row).value() == content_with_epoch(batch));
      found += row->key.count == 10;
    }
    return found;
  }

  std::string epoch;
};

}  // namespace

TEST_CASE_METHOD(SalvageFixture, "a sound file gives all that it holds, in order") {
  make(120);
  const Salvage salvage = scan(file());
  CHECK(salvage.epoch() == epoch);
  CHECK(salvage.device() == "gw-7");
  CHECK(salvage.size() == 120 * 2 + 1);
  CHECK(check_rows(salvage) == 120);
  const Row first = salvage.row(0).value();
  CHECK(salvage.stream_name(first.key.stream_id) == "app");
  CHECK(salvage.next_seq(first.key.stream_id) == 1207);
  CHECK(salvage.first_seq(first.key.stream_id) == 0);
  CHECK(salvage.stream_ids().size() == 2);
  CHECK(salvage.row(120).value().kind == RowKind::loss);
  CHECK(salvage.row(120).value().key.seq == 1200);
}

TEST_CASE_METHOD(SalvageFixture,
                 "without its headers and its identity a file still says its epoch") {
  make(30);
  std::string bytes = read_file(file());
  std::fill_n(bytes.begin(), 2 * 4096, '\0');
  // The identity holds the device's name; no other record does.
  for (std::size_t at = bytes.find("ab12"); at != std::string::npos; at = bytes.find("ab12", at)) {
    bytes.replace(at, 4, "....");
  }
  for (std::size_t at = bytes.find(options.machine_id); at != std::string::npos;
       at = bytes.find(options.machine_id)) {
    bytes[at] = '!';
  }
  write_file(file(), bytes);
  const Salvage salvage = scan(file());
  CHECK(salvage.device().empty());
  CHECK(salvage.epoch() == epoch);
  CHECK(check_rows(salvage) == 30);
}

TEST_CASE_METHOD(SalvageFixture, "of a damaged file only what is right comes out") {
  make(60);
  const std::string sound = read_file(file());
  std::mt19937 random(7);
  const fs::path broken = dir / "broken.mdb";
  int least = 60;
  for (int round = 0; round < 60; ++round) {
    std::string bytes = sound;
    for (int i = 0; i < 40; ++i) {
      const std::size_t at = random() % (bytes.size() - 512);
      if (i % 2 == 0) {
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
      } else {
        std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at / 512 * 512), 512, '\0');
      }
    }
    if (round % 5 == 0) bytes.resize(bytes.size() * 2 / 3 + random() % 4096);
    write_file(broken, bytes);
    CAPTURE(round);
    const auto salvage = Salvage::scan(broken, {});
    if (!salvage.ok()) {
      CHECK(salvage.error().code == Errc::corrupt);
      continue;
    }
    least = std::min(least, check_rows(*salvage));
  }
  CHECK(least < 60);  // the damage is there
}

TEST_CASE_METHOD(SalvageFixture, "what is no buffer is told so") {
  const fs::path none = dir / "none";
  write_file(none, std::string(100'000, 'x'));
  CHECK(Salvage::scan(none, {}).error().code == Errc::corrupt);
  write_file(none, "");
  CHECK(Salvage::scan(none, {}).error().code == Errc::corrupt);
  CHECK(Salvage::scan(dir / "missing", {}).error().code == Errc::unavailable);
}

TEST_CASE_METHOD(SalvageFixture, "parked rows are among what is found, and the reading may end") {
  make(10);
  open();
  StreamState app = stream("app");
  store->parking()->park(app.id, 1);
  store->acknowledge(store->generation(), Priority::normal, store->durable_id());
  commit(Request());
  store->close();
  store.reset();
  CHECK(check_rows(scan(file())) == 10);
  const auto ended = Salvage::scan(file(), [](std::uint64_t, std::uint64_t) { return false; });
  REQUIRE(ended.ok());
  CHECK(ended->size() < 21);
}

TEST_CASE_METHOD(SalvageFixture, "the newest record says from where on a stream is kept") {
  make(10);
  open();
  const StreamState app = stream("app");
  store->acknowledge(store->generation(), Priority::normal, 9);  // five batches of each stream
  commit(Request());
  store->close();
  store.reset();
  CHECK(scan(file()).first_seq(app.id) == 50);
  CHECK(scan(file()).next_seq(app.id) == 107);
}

TEST_CASE_METHOD(SalvageFixture, "the code of a broker that refused a batch is kept") {
  make(1);
  open();
  const StreamState app = stream("app");
  store->parking()->park(app.id, 1);
  store->acknowledge(store->generation(), Priority::normal, store->durable_id());
  commit(Request());
  store->parking()->refuse(app.id, 1, 0x90);
  commit(Request());
  store->close();
  store.reset();
  const Salvage salvage = scan(file());
  bool is_found = false;
  for (std::size_t i = 0; i < salvage.size(); ++i) {
    const Row row = salvage.row(i).value();
    if (row.loss_reason != static_cast<std::uint8_t>(LossReason::refused)) continue;
    is_found = true;
    CHECK(row.refusal_code == 0x90);
  }
  CHECK(is_found);
}

TEST_CASE_METHOD(SalvageFixture, "a file that changes while it is read is told so") {
  make(10);
  const Salvage salvage = scan(file());
  CHECK(salvage.stream_name(77).empty());
  CHECK(salvage.next_seq(77) == 0);
  CHECK_FALSE(salvage.first_seq(77));
  const std::size_t size = read_file(file()).size();
  write_file(file(), std::string(size, 'x'));
  CHECK(salvage.row(0).error().code == Errc::corrupt);
  write_file(file(), "");
  CHECK(salvage.row(0).error().code == Errc::corrupt);
}
