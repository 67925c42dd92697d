// Drives the host connector over recorded trees: golden events, first polls, hotplug, what is
// missing.
#include "connectors/host/host.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <map>
#include <random>

#include "agent/base/text.hpp"
#include "tests/support/fake_session.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::connectors::host {

namespace {

using namespace std::chrono_literals;
using tests::FakeSession;
using tests::SeenEvent;
using tests::TempDir;

constexpr const char* testdata = "connectors/host/testdata/";

std::vector<std::string> asked_paths;  // by statvfs, since the last made settings

int fake_statvfs(const char* path, struct ::statvfs* out) {
  asked_paths.emplace_back(path);
  const std::string_view asked = path;
  if (asked.ends_with("/gone")) {
    errno = ENOENT;
    return -1;
  }
  if (asked.ends_with("/forbidden")) {
    errno = EACCES;
    return -1;
  }
  *out = {};
  out->f_frsize = 4096;
  out->f_blocks = asked.ends_with("usb stick") ? 3'800'000 : 7'700'000;
  if (asked.ends_with("/nothing")) out->f_blocks = 0;
  out->f_bfree = 2'100'000;
  out->f_bavail = 1'700'000;
  out->f_files = asked.ends_with("firmware") ? 0 : 1'900'000;
  out->f_ffree = 1'500'000;
  return 0;
}

int synchronised_clock(struct ::timex* out) {
  *out = {};
  out->status = STA_NANO | STA_PLL;
  out->offset = 125'500;
  out->freq = -655360;
  out->esterror = 410;
  out->maxerror = 20'100;
  return TIME_OK;
}

int unsynchronised_clock(struct ::timex* out) {
  *out = {};
  out->status = STA_UNSYNC;
  out->offset = 12;
  return TIME_ERROR;
}

int forbidden_clock(struct ::timex*) {
  errno = EPERM;
  return -1;
}

/// A machine made of files.
class Machine {
 public:
  Machine() { std::filesystem::create_directories(dir_ / "proc"); }

  /// The whole tree as recorded in testdata/<name>.txt; what was there before is gone.
  void become(std::string_view recording) {
    std::filesystem::remove_all(dir_ / "proc");
    std::filesystem::remove_all(dir_ / "sys");
    const std::string all = tests::read_file(fmt::format("{}{}.txt", testdata, recording));
    REQUIRE_FALSE(all.empty());
    constexpr std::string_view head = "=== ";
    for (std::size_t start = 0; start < all.size();) {
      const std::size_t line_end = all.find('\n', start);
      const std::size_t next = std::min(all.find("\n=== ", line_end - 1), all.size() - 1) + 1;
      const std::string name = all.substr(start + head.size(), line_end - start - head.size());
      if (const std::size_t arrow = name.find(" -> "); arrow != std::string::npos) {
        link(name.substr(0, arrow), name.substr(arrow + 4));
      } else {
        write(name, all.substr(line_end + 1, next - line_end - 1));
      }
      start = next;
    }
  }
  void write(std::string_view name, std::string_view content) {
    std::filesystem::create_directories((dir_ / name).parent_path());
    tests::write_file(dir_ / name, content);
  }
  void link(std::string_view name, const std::string& target) {
    std::filesystem::create_directories((dir_ / name).parent_path());
    std::filesystem::create_symlink(target, dir_ / name);
  }
  void remove(std::string_view name) { std::filesystem::remove_all(dir_ / name); }
  std::filesystem::path operator/(std::string_view name) const { return dir_ / name; }

  Settings settings(std::vector<std::string> collect) const {
    asked_paths.clear();
    Settings settings;
    settings.every = 10s;
    settings.collect = std::move(collect);
    settings.proc_root = dir_ / "proc";
    settings.sys_root = dir_ / "sys";
    settings.mount_root = "/";
    settings.system = {fake_statvfs, synchronised_clock};
    return settings;
  }

 private:
  TempDir dir_;
};

using Polls = std::vector<std::vector<SeenEvent>>;

/// Polls once, and once more after each of the changes to the machine.
Polls poll_all(Connector& connector, const std::vector<std::function<void()>>& changes = {}) {
  FakeSession session;
  std::vector<std::size_t> ends;
  session.hook = [&](FakeSession& self) {
    if (self.pushes() == ends.size()) return;  // the call before the sleep
    ends.push_back(self.events().size());
    if (ends.size() > changes.size()) {
      self.request_stop();
    } else {
      changes[ends.size() - 1]();
    }
  };
  REQUIRE(connector.run(session).ok());
  const std::vector<SeenEvent> events = session.events();
  Polls polls;
  std::size_t start = 0;
  for (const std::size_t end : ends) {
    polls.emplace_back(events.begin() + static_cast<std::ptrdiff_t>(start),
                       events.begin() + static_cast<std::ptrdiff_t>(end));
    start = end;
  }
  return polls;
}
Polls poll_all(const Settings& settings, const std::vector<std::function<void()>>& changes = {}) {
  return poll_all(*make_host(settings), changes);
}

const SeenEvent* find(const std::vector<SeenEvent>& events, std::string_view part,
                      const std::string& key = {}, std::string_view item = {}) {
  for (const SeenEvent& event : events) {
    if (event.part == part && (key.empty() || event.text(key) == item)) return &event;
  }
  return nullptr;
}

std::vector<std::string> items(const std::vector<SeenEvent>& events, const std::string& key) {
  std::vector<std::string> found;
  for (const SeenEvent& event : events) found.push_back(event.text(key));
  return found;
}

std::string as_text(const SeenEvent& event) {
  std::string out = event.part;
  for (const auto& [name, value] : event.fields) {
    out += fmt::format(" {}=", name);
    std::visit(
        [&](const auto& v) {
          using T = std::decay_t<decltype(v)>;
          if constexpr (std::is_same_v<T, double>) {
            append_json_double(out, v);
          } else if constexpr (std::is_same_v<T, std::string>) {
            append_json_string(out, v);
          } else if constexpr (!std::is_same_v<T, std::monostate>) {
            out += fmt::format("{}", v);
          }
        },
        value);
  }
  return out + "\n";
}

const std::vector<std::string> all_groups{"cpu",         "load",   "memory",     "swap",
                                          "pressure",    "disk",   "filesystem", "network",
                                          "temperature", "system", "clock"};

TEST_CASE("two polls of a recorded gateway give the golden events") {
  Machine machine;
  machine.become("gateway_at_0s");
  Settings settings = machine.settings(all_groups);
  settings.per_core = true;
  settings.interfaces.exclude = {"lo", "veth*"};
  settings.disks.exclude = {"loop*", "ram*"};
  const Polls polls = poll_all(settings, {[&] { machine.become("gateway_at_10s"); }});
  REQUIRE(polls.size() == 2);
  std::string seen;
  for (std::size_t i = 0; i < polls.size(); ++i) {
    seen += fmt::format("== poll {}\n", i + 1);
    for (const SeenEvent& event : polls[i]) seen += as_text(event);
  }
  const std::string golden = std::string(testdata) + "gateway_events.txt";
  if (std::getenv("PENSTOCK_UPDATE_GOLDEN") != nullptr) tests::write_file(golden, seen);
  CHECK(seen == tests::read_file(golden));
}

TEST_CASE("all events of one poll have one time, ten seconds after the ones before") {
  Machine machine;
  machine.become("gateway_at_0s");
  const Polls polls = poll_all(machine.settings(all_groups), {[] {}});
  REQUIRE(polls.at(0).size() > 10);
  for (const SeenEvent& event : polls[0]) CHECK(event.time_unix_us == polls[0][0].time_unix_us);
  CHECK(polls.at(1).at(0).time_unix_us - polls[0][0].time_unix_us == 10'000'000);
}

TEST_CASE("the first poll is the baseline of everything that is a rate") {
  Machine machine;
  machine.become("gateway_at_0s");
  const Polls polls = poll_all(machine.settings(all_groups));
  CHECK(find(polls[0], "cpu") == nullptr);
  for (const SeenEvent& event : polls[0]) {
    for (const auto& [name, value] : event.fields) CHECK_FALSE(name.ends_with("_per_second"));
  }
  CHECK_FALSE(find(polls[0], "disk", "disk", "mmcblk0")->has("busy_percent"));
  CHECK_FALSE(find(polls[0], "pressure", "resource", "cpu")->has("some_percent"));
}

TEST_CASE("the modes of a processor are shares that make 100 percent") {
  Machine machine;
  machine.become("gateway_at_0s");
  Settings settings = machine.settings({"cpu"});
  settings.per_core = true;
  const Polls polls = poll_all(settings, {[&] { machine.become("gateway_at_10s"); }});
  REQUIRE(polls[1].size() == 5);
  for (const SeenEvent& event : polls[1]) {
    double sum = 0;
    for (const auto& [name, value] : event.fields) {
      if (name.ends_with("_percent") && !name.starts_with("bus")) sum += event.number(name);
    }
    CHECK(sum == Approx(100).margin(0.05));
  }
  CHECK(find(polls[1], "cpu")->number("busiest_core_percent") == Approx(50));
}

TEST_CASE("a processor counter that falls is no time at all, and no event without time") {
  Machine machine;
  machine.write("proc/stat", "cpu 100 0 100 800 50 0 0 0 0 0\n");
  const Polls polls =
      poll_all(machine.settings({"cpu"}),
               {[&] { machine.write("proc/stat", "cpu 110 0 100 890 40 0 0 0 0 0\n"); }, [] {},
                [&] { machine.write("proc/stat", "cpu 5 0 5 10 1 0 0 0 0 0\n"); },
                [&] { machine.write("proc/stat", "cpu 15 0 5 20 1 0 0 0 0 0\n"); }});
  REQUIRE(polls[1].size() == 1);
  CHECK(polls[1][0].number("iowait_percent") == 0);
  CHECK(polls[1][0].number("busy_percent") == 10);
  CHECK(polls[2].empty());
  CHECK(polls[3].empty());
  CHECK(polls[4].at(0).number("busy_percent") == 50);
}

TEST_CASE("a disk that vanishes and comes back starts anew") {
  const std::string first = "8 0 sda 10 0 100 5 10 0 100 5 0 10 10\n";
  const std::string later = "8 0 sda 30 0 300 5 20 0 200 5 0 10 10\n";
  Machine machine;
  machine.write("sys/block/sda/size", "1");
  machine.write("proc/diskstats", first);
  const Polls polls =
      poll_all(machine.settings({"disk"}), {[&] { machine.write("proc/diskstats", later); },
                                            [&] { machine.write("proc/diskstats", ""); },
                                            [&] { machine.write("proc/diskstats", later); },
                                            [&] { machine.write("proc/diskstats", first); },
                                            [&] { machine.write("proc/diskstats", later); }});
  CHECK(polls[1].at(0).number("reads_per_second") == 2);
  CHECK(polls[1].at(0).number("read_bytes_per_second") == 200 * 512 / 10.0);
  CHECK(polls[2].empty());
  CHECK_FALSE(polls[3].at(0).has("reads_per_second"));
  CHECK_FALSE(polls[4].at(0).has("reads_per_second"));  // it was replaced: its counters fell
  CHECK(polls[4].at(0).number("reads_total") == 10);
  CHECK(polls[5].at(0).number("reads_per_second") == 2);
}

TEST_CASE("a disk's times may start again at 0 without its rates being lost") {
  Machine machine;
  machine.write("sys/block/sda/size", "1");
  machine.write("proc/diskstats", "8 0 sda 10 0 100 5 10 0 100 5 0 4294967290 10\n");
  const Polls polls = poll_all(
      machine.settings({"disk"}),
      {[&] { machine.write("proc/diskstats", "8 0 sda 30 0 300 5 20 0 200 5 0 10 10\n"); }});
  CHECK(polls[1].at(0).number("reads_per_second") == 2);
  CHECK_FALSE(polls[1].at(0).has("busy_percent"));
}

TEST_CASE("globs choose disks, mounts, interfaces and chips") {
  Machine machine;
  machine.become("gateway_at_0s");
  Settings settings = machine.settings({"disk", "filesystem", "network", "temperature"});
  settings.disks.include = {"mmc*"};
  settings.mounts.exclude = {"/media/*", "/boot*"};
  settings.interfaces.include = {"eth?"};
  settings.chips.exclude = {"nvme", "enclosure", "cpu_thermal"};
  const Polls polls = poll_all(settings);
  REQUIRE(polls[0].size() == 3);
  CHECK(polls[0][0].text("disk") == "mmcblk0");
  CHECK(polls[0][1].text("mount") == "/");
  CHECK(polls[0][2].text("interface") == "eth0");
}

TEST_CASE("without /sys/block partitions are reported too") {
  Machine machine;
  machine.become("gateway_at_0s");
  machine.remove("sys");
  const Polls polls = poll_all(machine.settings({"disk"}));
  CHECK(find(polls[0], "disk", "disk", "mmcblk0p1") != nullptr);
}

TEST_CASE("network file systems, and what lies behind them, are never asked") {
  Machine machine;
  machine.become("gateway_at_0s");
  const Polls polls = poll_all(machine.settings({"filesystem"}));
  CHECK(asked_paths == std::vector<std::string>{"/", "/boot/firmware", "/media/usb stick"});
  CHECK(items(polls[0], "mount") == asked_paths);
  CHECK(std::get<bool>(
      find(polls[0], "filesystem", "mount", "/media/usb stick")->fields.at("read_only")));
  CHECK_FALSE(std::get<bool>(
      find(polls[0], "filesystem", "mount", "/boot/firmware")->fields.at("read_only")));
}

TEST_CASE("a mount that cannot be asked does not hide the others") {
  Machine machine;
  machine.write("proc/self/mountinfo",
                "1 0 8:1 / /a/gone rw - ext4 /dev/sda1 rw\n"
                "2 0 8:2 / /a/forbidden rw - ext4 /dev/sda2 rw\n"
                "3 0 8:3 / /a/nothing rw - somefs none rw\n"
                "4 0 8:4 / /a/fine rw - ext4 /dev/sda4 rw\n"
                "5 0 0:9 / /a/tmp rw - tmpfs tmpfs rw\n"
                "6 0 0:8 / / rw - overlay overlay rw\n"
                "7 0 0:7 / /o rw - overlay overlay rw\n"
                "8 0 8:5 / /over rw - ext4 /dev/sda5 rw\n"
                "9 8 8:6 / /over rw - xfs /dev/sda6 rw\n"
                "not a mount\n\n- - - - -\n");
  Settings settings = machine.settings({"filesystem"});
  CHECK(items(poll_all(settings)[0], "mount") == std::vector<std::string>{"/", "/over", "/a/fine"});
  CHECK(poll_all(settings)[0][1].text("type") == "xfs");
  settings.extra_types = {"tmpfs"};
  CHECK(find(poll_all(settings)[0], "filesystem", "mount", "/a/tmp") != nullptr);
}

TEST_CASE("in a container the mounts and interfaces are those of the host's first process") {
  Machine machine;
  machine.become("gateway_at_0s");
  machine.write("proc/1/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
  machine.write("proc/1/net/dev", "h\nh\n eno1: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n");
  Settings settings = machine.settings({"filesystem", "network"});
  settings.mount_root = "/host";
  const Polls polls = poll_all(settings);
  REQUIRE(polls[0].size() == 2);
  CHECK(polls[0][0].text("mount") == "/");
  CHECK(asked_paths == std::vector<std::string>{"/host/"});
  CHECK(polls[0][1].text("interface") == "eno1");
}

TEST_CASE("sensors are found again after one is plugged in or has gone") {
  Machine machine;
  machine.write("sys/class/hwmon/hwmon0/name", "nvme\n");
  machine.write("sys/class/hwmon/hwmon0/temp1_input", "30000\n");
  const Polls polls =
      poll_all(machine.settings({"temperature"}),
               {[&] { machine.write("sys/class/hwmon/hwmon0/temp1_input", ""); },  // asleep
                [&] {
                  machine.remove("sys/class/hwmon/hwmon0");
                  machine.write("sys/class/hwmon/hwmon1/name", "coretemp\n");
                  machine.write("sys/class/hwmon/hwmon1/temp2_input", "50500\n");
                },
                [] {}, [&] { machine.write("sys/class/hwmon/hwmon1/temp3_input", "51000\n"); },
                [] {}, [] {}, [] {}, [] {}, [] {}});
  CHECK(polls[0].at(0).text("chip") == "nvme");
  CHECK(polls[1].empty());
  CHECK(polls[2].empty());
  CHECK(polls[3].at(0).text("chip") == "coretemp");
  CHECK(polls[3].at(0).text("sensor") == "temp2");
  CHECK(polls[4].size() == 1);  // looked for once a minute
  CHECK(polls.back().size() == 2);
}

TEST_CASE("what a machine does not have is left out, and the rest goes on") {
  Machine machine;
  machine.become("gateway_at_0s");
  for (const char* name :
       {"proc/pressure", "proc/vmstat", "proc/net", "proc/stat", "sys", "proc/self", "proc/sys"}) {
    machine.remove(name);
  }
  const Polls polls = poll_all(machine.settings(all_groups), {[] {}});
  for (const auto& poll : polls) {
    CHECK(find(poll, "pressure") == nullptr);
    CHECK(find(poll, "cpu") == nullptr);
    CHECK(find(poll, "network") == nullptr);
    CHECK(find(poll, "temperature") == nullptr);
    CHECK(find(poll, "filesystem") == nullptr);
    CHECK(find(poll, "memory") != nullptr);
    CHECK(find(poll, "load") != nullptr);
    CHECK(find(poll, "swap")->number("total_bytes") == 102396 * 1024.0);
    CHECK(find(poll, "system")->number("uptime_seconds") == Approx(35119.41));
    CHECK(find(poll, "clock") != nullptr);
  }
}

TEST_CASE("an old kernel tells less, and that is enough") {
  Machine machine;
  machine.write("proc/meminfo",
                "MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 250 kB\n");
  machine.write("proc/pressure/cpu", "some avg10=1.50 avg60=0.00 avg300=0.00 total=7\n");
  const Polls polls = poll_all(machine.settings({"memory", "pressure"}));
  REQUIRE(polls[0].size() == 2);
  CHECK(polls[0][0].number("available_bytes") == 400 * 1024);
  CHECK(polls[0][0].number("used_percent") == 60);
  CHECK(polls[0][1].number("some_avg10_percent") == 1.5);
  CHECK_FALSE(polls[0][1].has("full_avg10_percent"));
}

TEST_CASE("nonsense in the tree is no reading and no harm") {
  const auto nonsense = GENERATE(as<std::string>{}, "", "\n\n\n", "cpu\n", ":::::", "- - - -\n",
                                 "cpu -1 x 99999999999999999999999\nMemTotal: x kB\nMemFree:\n",
                                 std::string(1'100'000, 'x'), std::string(200'000, '\n'),
                                 std::string(200'000, ' ') + "1:", std::string(64, '\0'));
  Machine machine;
  machine.become("gateway_at_0s");
  std::vector<std::filesystem::path> files;
  for (const char* root : {"proc", "sys"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(machine / root)) {
      const bool is_read = entry.path().filename() != "comm" && entry.path().filename() != "size";
      if (entry.is_regular_file() && is_read) files.push_back(entry.path());
    }
  }
  for (const auto& file : files) tests::write_file(file, nonsense);
  const Polls polls = poll_all(machine.settings(all_groups), {[] {}});
  CHECK(find(polls[1], "memory") == nullptr);
  CHECK(find(polls[1], "disk") == nullptr);
  CHECK(find(polls[1], "clock") != nullptr);
}

TEST_CASE("damage anywhere in the tree does no harm") {
  std::mt19937 random(20261124);  // a fixed seed: the same damage in every run
  Machine machine;
  machine.become("gateway_at_0s");
  std::vector<std::filesystem::path> files;
  for (const char* root : {"proc", "sys"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(machine / root)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  Settings settings = machine.settings(all_groups);
  settings.per_core = true;
  const auto connector = make_host(settings);
  const auto damage = [&] {
    for (int i = 0; i < 5; ++i) {
      const auto& file = files[random() % files.size()];
      std::string content = tests::read_file(file);
      const std::size_t at = content.empty() ? 0 : random() % content.size();
      switch (random() % 4) {
        case 0: content.resize(at); break;
        case 1: content.insert(at, std::string(random() % 5, "\n :\\9-"[random() % 7])); break;
        case 2: content.insert(at, content); break;
        default:
          if (!content.empty()) content[at] = static_cast<char>(random());
      }
      content.resize(std::min<std::size_t>(content.size(), 20'000));
      tests::write_file(file, content);
    }
  };
  const Polls polls = poll_all(*connector, std::vector<std::function<void()>>(150, damage));
  CHECK(polls.size() == 151);
  for (const auto& poll : polls) CHECK(find(poll, "clock") != nullptr);
}

TEST_CASE("the number of items in one poll is bounded") {
  Machine machine;
  std::string disks;
  std::string interfaces;
  std::string mounts;
  std::string cores = "cpu 1 1 1 1 1 1 1 1 1 1\n";
  for (int i = 0; i < 5000; ++i) {
    disks += fmt::format("8 {0} disk{0} 1 1 1 1 1 1 1 1 1 1 1\n", i);
    interfaces += fmt::format("if{}: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n", i);
    mounts += fmt::format("1 0 8:{0} / /m/{0} rw - ext4 /dev/x rw\n", i);
    cores += fmt::format("cpu{} 1 1 1 1 1 1 1 1 1 1\n", i);
  }
  machine.write("proc/diskstats", disks);
  machine.write("proc/net/dev", interfaces);
  machine.write("proc/self/mountinfo", mounts);
  machine.write("proc/stat", cores);
  for (const char* group : {"disk", "network", "filesystem"}) {
    CHECK(poll_all(machine.settings({group}))[0].size() == items_max);
  }
  CHECK(poll_all(machine.settings({"cpu"}))[0].empty());
}

TEST_CASE("a FIFO in the tree does not hold up the poll") {
  Machine machine;
  machine.become("gateway_at_0s");
  machine.remove("proc/loadavg");
  REQUIRE(::mkfifo((machine / "proc/loadavg").c_str(), 0600) == 0);
  const Polls polls = poll_all(machine.settings({"load", "memory"}));
  CHECK(find(polls[0], "load") == nullptr);
  CHECK(find(polls[0], "memory") != nullptr);
}

TEST_CASE("the clock's state is told in microseconds, or not at all") {
  Machine machine;
  machine.become("gateway_at_0s");
  Settings settings = machine.settings({"clock"});
  SECTION("synchronised, in nanoseconds") {
    const Polls polls = poll_all(settings);
    CHECK(std::get<bool>(polls[0].at(0).fields.at("synchronised")));
    CHECK(polls[0][0].number("offset_us") == 125.5);
    CHECK(polls[0][0].number("frequency_ppm") == -10);
  }
  SECTION("not synchronised, in microseconds") {
    settings.system.adjtimex = unsynchronised_clock;
    const Polls polls = poll_all(settings);
    CHECK_FALSE(std::get<bool>(polls[0].at(0).fields.at("synchronised")));
    CHECK(polls[0][0].number("offset_us") == 12);
  }
  SECTION("not permitted") {
    settings.system.adjtimex = forbidden_clock;
    CHECK(poll_all(settings)[0].empty());
  }
}

TEST_CASE("a proc_root that is not there is unavailable, and found once it comes") {
  Machine machine;
  machine.remove("proc");
  Settings settings = machine.settings({"load"});
  const auto connector = make_host(settings);
  FakeSession session;
  const Result<void> result = connector->run(session);
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().code == Errc::unavailable);
  CHECK_THAT(result.error().text, Catch::Contains("proc_root"));
  CHECK_THAT(result.error().text, Catch::Contains("No such file or directory"));
  machine.write("proc/loadavg", "0.35 0.30 0.25 2/212 20411\n");
  CHECK(poll_all(*connector)[0].size() == 1);
}

TEST_CASE("this machine is read within its own bounds") {
  Settings settings;
  settings.every = 1s;
  settings.collect = all_groups;
  settings.proc_root = "/proc";
  settings.sys_root = "/sys";
  settings.mount_root = "/";
  const Polls polls = poll_all(settings, {[] {}});
  const SeenEvent* memory = find(polls[1], "memory");
  REQUIRE(memory != nullptr);
  CHECK(memory->number("total_bytes") > 64.0 * 1024 * 1024);
  CHECK(memory->number("used_bytes") < memory->number("total_bytes"));
  REQUIRE(find(polls[1], "system") != nullptr);
  CHECK(find(polls[1], "system")->number("processes") >= 1);
  CHECK(find(polls[1], "system")->number("uptime_seconds") > 0);
  REQUIRE(find(polls[1], "load") != nullptr);
  for (const SeenEvent& event : polls[1]) {
    for (const auto& [name, value] : event.fields) {
      INFO(event.part << " " << name);
      if (name.ends_with("_percent")) CHECK(event.number(name) >= 0);
      if (name.ends_with("_percent")) CHECK(event.number(name) <= 100);
    }
  }
}

}  // namespace
}  // namespace penstock::connectors::host
