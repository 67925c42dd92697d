// Bench: a brain, what it is told, and what it asked for, in short words.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/forward/brain.hpp"

namespace penstock::tests {

using namespace penstock::forward;
using penstock::buffer::Priority;

inline constexpr std::int64_t second = 1'000'000;

struct Bench {
  explicit Bench(BrainSettings settings = {}) : brain(settings) { tell(StoreChanged{1, {}}); }

  void tell(const Event& event) {
    actions.clear();
    brain.step(now_us, event, actions);
    for (const Action& action : actions) {
      if (const auto* connect = std::get_if<Connect>(&action)) {
        connection = connect->connection;
        broker = connect->broker;
        said += "connect ";
      } else if (const auto* end = std::get_if<Disconnect>(&action)) {
        said += end->says_goodbye ? "goodbye " : "disconnect ";
      } else if (const auto* fetch = std::get_if<Fetch>(&action)) {
        pending_fetch = *fetch;
        has_fetch = true;
      } else if (const auto* encode = std::get_if<Encode>(&action)) {
        pending_encode = encode->row;
        encoded = *encode;
        has_encode = true;
      } else if (const auto* publish = std::get_if<Publish>(&action)) {
        last_message = publish->message;
        said += "row" + std::to_string(publish->row.id) +
                (publish->part == 0 ? "" : "." + std::to_string(publish->part)) + " ";
      } else if (const auto* status = std::get_if<PublishStatus>(&action)) {
        status_message = status->message;
        said += status->is_online ? "online " : "offline ";
      } else if (const auto* trim = std::get_if<Acknowledge>(&action)) {
        said += "ack" + std::to_string(trim->row.id) + " ";
      } else if (const auto* fetch_parked = std::get_if<FetchParked>(&action)) {
        pending_parked = *fetch_parked;
        has_parked_fetch = true;
      } else if (const auto* park = std::get_if<Park>(&action)) {
        said +=
            "park" + std::to_string(park->stream_id) + "@" + std::to_string(park->from_id) + " ";
      } else if (const auto* refuse = std::get_if<Refuse>(&action)) {
        said += "refuse" + std::to_string(refuse->id) + " ";
        refused = *refuse;
      } else if (const auto* moved = std::get_if<AcknowledgeParked>(&action)) {
        said += "done" + std::to_string(moved->id) + " ";
      } else if (const auto* unpark = std::get_if<Unpark>(&action)) {
        pending_unpark = *unpark;
        has_unpark = true;
      } else if (std::holds_alternative<DropFetched>(action)) {
        said += "drop ";
      } else if (const auto* report = std::get_if<Report>(&action)) {
        reports.push_back(*report);
      }
    }
    answer();
  }

  void answer() {
    if (has_fetch && answers_fetches) {
      has_fetch = false;
      Fetched event{
          pending_fetch.generation, pending_fetch.priority, pending_fetch.after_id, {}, true};
      for (const std::uint64_t id : stored[static_cast<std::size_t>(pending_fetch.priority)]) {
        if (id <= pending_fetch.after_id) continue;
        event.rows.push_back({id, 100, 10, stream_of(id), id * 10, id * 10 + 10});
      }
      tell(event);
    }
    if (std::exchange(has_parked_fetch, false)) {
      FetchedParked event{pending_parked.generation, pending_parked.stream_id,
                          pending_parked.after_id, std::nullopt, false};
      for (const FetchedRow& row : parked[pending_parked.stream_id]) {
        if (row.id <= pending_parked.after_id) continue;
        event.row = row;
        break;
      }
      tell(event);
    }
    if (std::exchange(has_unpark, false)) {
      said += "unpark" + std::to_string(pending_unpark.stream_id) + " ";
      tell(Unparked{pending_unpark.stream_id, unparks});
    }
    if (has_encode) {
      has_encode = false;
      if (part_bytes > encoded.packet_bytes_max && part_bytes <= encoded.elsewhere_bytes_max) {
        return tell(Encoded{connection, pending_encode, {}, true});
      }
      const std::vector<EncodedPart> alike(parts, {part_bytes, part_events});
      tell(Encoded{connection, pending_encode, part_list.empty() ? alike : part_list});
    }
  }

  void store(Priority priority, std::vector<std::uint64_t> ids) {
    auto& rows = stored[static_cast<std::size_t>(priority)];
    rows.insert(rows.end(), ids.begin(), ids.end());
    tell(Stored{});
  }
  void up(std::uint32_t receive_max = 20, std::uint64_t packet_bytes_max = 268'435'455) {
    Limits limits;
    limits.receive_max = receive_max;
    limits.packet_bytes_max = packet_bytes_max;
    tell(LinkUp{connection, limits});
  }
  void acknowledge(std::uint64_t message, std::uint8_t code = 0) {
    tell(Acknowledged{connection, message, code, now_us});
  }
  void pass(std::int64_t time_us) {
    now_us += time_us;
    tell(Tick{});
  }
  /// Rows of one stream each hundred.
  static std::uint32_t stream_of(std::uint64_t id) {
    return static_cast<std::uint32_t>(id / 100 + 1);
  }
  std::string take() { return std::exchange(said, {}); }
  int count(Report::Kind kind) const {
    return static_cast<int>(std::count_if(reports.begin(), reports.end(),
                                          [kind](const Report& r) { return r.kind == kind; }));
  }

  Brain brain;
  std::int64_t now_us = second;
  std::vector<Action> actions;
  std::array<std::vector<std::uint64_t>, 3> stored;
  std::uint32_t parts = 1;
  std::uint32_t part_events = 10;
  std::uint64_t part_bytes = 1'000;
  std::vector<EncodedPart> part_list;  // instead
  bool answers_fetches = true;
  std::uint64_t connection = 0;
  std::size_t broker = 0;
  std::uint64_t last_message = 0;
  std::uint64_t status_message = 0;
  Fetch pending_fetch;
  RowRef pending_encode;
  Encode encoded;
  std::map<std::uint32_t, std::vector<FetchedRow>> parked;
  FetchParked pending_parked;
  bool has_parked_fetch = false;
  Unpark pending_unpark;
  bool has_unpark = false;
  bool unparks = true;
  Refuse refused;
  bool has_fetch = false;
  bool has_encode = false;
  std::string said;
  std::vector<Report> reports;
};

}  // namespace penstock::tests
