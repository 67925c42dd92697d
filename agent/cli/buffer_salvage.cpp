// `penstock buffer salvage`: the events that can still be read of a damaged buffer, as JSON lines.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <set>
#include <vector>

#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "agent/base/wire.hpp"
#include "agent/cli/buffer_access.hpp"
#include "agent/cli/buffer_frame.hpp"
#include "agent/cli/human.hpp"
#include "agent/cli/output_file.hpp"
#include "agent/daemon/exit_code.hpp"
#include "agent/daemon/json_line.hpp"
#include "agent/daemon/store_opening.hpp"
#include "agent/forward/message.hpp"
#include "buffer/salvage.hpp"

namespace penstock::cli {
namespace {

namespace fs = std::filesystem;

struct SalvageOptions {
  std::string dir;
  std::string out;
};

/// What came out of one stream.
struct StreamTally {
  std::string name;
  std::uint64_t events = 0;
  std::uint64_t lost = 0;  ///< in loss records
  std::uint64_t first_seq = 0;
  std::uint64_t next_seq = 0;   ///< all below, from first_seq on, is covered or counted as missing
  std::uint64_t kept_from = 0;  ///< what is below had left the buffer: it is not missing
  std::uint64_t missing = 0;
};

/// Writes the rows in order and adds up what is there and what is not.
class Saver {
 public:
  Saver(const buffer::Salvage& salvage, OutputFile& file) : salvage_(salvage), file_(file) {}

  /// false: the output takes no more.
  bool run(ProgressBar& bar) {
    for (std::size_t i = 0; i < salvage_.size() && file_.is_good(); ++i) {
      const Result<buffer::Row> row = salvage_.row(i);
      if (row.ok()) take(*row);
      bar.update(i, salvage_.size());
    }
    end_stream();
    add_empty_streams();
    return file_.is_good();
  }
  const std::vector<StreamTally>& streams() const { return streams_; }

 private:
  void take(const buffer::Row& row) {
    if (streams_.empty() || row.key.stream_id != stream_id_) begin_stream(row.key);
    StreamTally& stream = streams_.back();
    const std::uint64_t end = row.key.seq + row.key.count;
    if (row.kind == buffer::RowKind::loss) {
      if (end <= stream.next_seq) return;  // its events were found
      const buffer::RowKey& key = row.key;
      const std::uint64_t from = std::max(key.seq, stream.next_seq);
      std::string text;
      const EventHead head(salvage_.device(), stream.name, salvage_.epoch());
      append_loss_record(text, head, row.time_unix_us, from, end - from,
                         static_cast<LossReason>(row.loss_reason), row.loss_is_exact,
                         row.refusal_code);
      write(text);
      stream.lost += end - from;
    } else {
      const Result<std::string> content = buffer::content_of(row);
      if (!content.ok() || end <= stream.next_seq) return;
      for (const std::string_view event : forward::split_array(*content)) write(event);
      stream.events += row.key.count;
    }
    count_missing(stream, row.key.seq);
    stream.next_seq = std::max(stream.next_seq, end);
  }

  /// What no row covers between the rows so far and this number.
  static void count_missing(StreamTally& stream, std::uint64_t end) {
    const std::uint64_t from = std::max(stream.next_seq, stream.kept_from);
    if (end > from) stream.missing += end - from;
  }

  void begin_stream(const buffer::RowKey& key) {
    end_stream();
    add_stream(key.stream_id, key.seq);
  }

  void add_stream(std::uint32_t id, std::uint64_t seq) {
    stream_id_ = id;
    StreamTally& stream = streams_.emplace_back();
    stream.name = salvage_.stream_name(id);
    if (stream.name.empty()) stream.name = fmt::format("stream {}", id);
    stream.kept_from = salvage_.first_seq(id).value_or(seq);
    stream.first_seq = stream.next_seq = std::min(seq, stream.kept_from);
    seen_.insert(id);
  }

  /// Those that held something of which nothing was found.
  void add_empty_streams() {
    for (const std::uint32_t id : salvage_.stream_ids()) {
      const auto kept_from = salvage_.first_seq(id);
      const std::uint64_t counted = salvage_.next_seq(id);
      if (!kept_from || *kept_from >= counted || seen_.count(id) != 0) continue;
      add_stream(id, *kept_from);
      end_stream();
    }
  }

  /// What follows the last row that was found, up to where the stream had counted.
  void end_stream() {
    if (streams_.empty()) return;
    StreamTally& stream = streams_.back();
    const std::uint64_t counted = salvage_.next_seq(stream_id_);
    count_missing(stream, counted);
    stream.next_seq = std::max(stream.next_seq, counted);
  }

  void write(std::string_view event) {
    file_.write(event);
    file_.write("\n");
  }

  const buffer::Salvage& salvage_;
  OutputFile& file_;
  std::uint32_t stream_id_ = 0;
  std::vector<StreamTally> streams_;
  std::set<std::uint32_t> seen_;
};

void show(const Globals& globals, const StreamTally& stream) {
  if (globals.is_json) {
    print(daemon::JsonLine()
              .text("stream", stream.name)
              .number("events", stream.events)
              .number("lost", stream.lost)
              .number("first_seq", stream.first_seq)
              .number("next_seq", stream.next_seq)
              .number("missing", stream.missing)
              .take());
    return;
  }
  std::string name;
  append_escaped(name, stream.name);
  print(fmt::format("{} {:>10} events from {:>10}   {} missing", padded(name, 28), stream.events,
                    stream.first_seq, human_count(stream.missing)));
}

int save(const BufferFrame& frame, const buffer::Salvage& salvage, const std::string& out) {
  OutputFile file;
  if (const Result<void> opened = file.open(out); !opened.ok()) {
    complain(opened.error().text);
    return daemon::exit_cannot_create;
  }
  ProgressBar bar(frame.globals, "write");
  Saver saver(salvage, file);
  const bool is_whole = saver.run(bar);
  bar.clear();
  if (const Result<void> closed = file.close(is_whole); !closed.ok()) {
    complain(closed.error().text);
    return daemon::exit_io;
  }
  bool is_missing = saver.streams().empty();
  if (is_missing) complain("no event can be read");
  for (const StreamTally& stream : saver.streams()) {
    show(frame.globals, stream);
    is_missing |= stream.missing > 0;
  }
  return finish_output(is_missing ? daemon::exit_data : daemon::exit_ok);
}

int run(const BufferFrame& frame, const SalvageOptions& options) {
  const std::string chosen = options.dir.empty() ? frame.dir : options.dir;
  int exit_code = daemon::exit_ok;
  const auto named = buffer_directory(frame.globals, chosen, exit_code);
  if (!named) return exit_code;
  const fs::path& dir = *named;
  const fs::path file = dir / "buffer.mdb";
  std::error_code failed;
  if (!fs::exists(file, failed)) {
    complain(fmt::format("there is no buffer at {}", penstock::quoted(dir.string())));
    return daemon::exit_unavailable;
  }
  if (daemon::is_buffer_held(dir)) {
    complain(fmt::format("an agent is using {}: stop it first, or use penstock buffer export",
                         penstock::quoted(dir.string())));
    return daemon::exit_try_again;
  }
  ProgressBar bar(frame.globals, "scan");
  const Result<buffer::Salvage> salvage =
      buffer::Salvage::scan(file, [&bar](std::uint64_t done, std::uint64_t total) {
        bar.update(done, total);
        return true;
      });
  bar.clear();
  if (salvage.ok()) return save(frame, *salvage, options.out);
  complain(salvage.error().text);
  return salvage.error().code == Errc::corrupt ? daemon::exit_data : daemon::exit_io;
}

}  // namespace

void add_buffer_salvage(CLI::App& parent, std::shared_ptr<BufferFrame> frame) {
  auto options = std::make_shared<SalvageOptions>();  // shared with the callback
  CLI::App* command = parent.add_subcommand(
      "salvage", "Save the events that can still be read of a damaged buffer");
  command->add_option("DIR", options->dir,
                      "directory of the buffer, as one that was set aside; else the "
                      "configuration's");
  command->add_option("--out", options->out, "file for the events, a line each")->required();
  command->footer(
      "Finds events by their checksums, also where the file cannot be opened; changes nothing in "
      "it.\nEvents that were forwarded shortly before may be among them: their numbers tell.\n"
      "Missing is what a stream held by its newest record that can be read, and is not found.\n"
      "Exit code 65 if numbers are missing.\n\n"
      "Example:\n"
      "  penstock buffer salvage /var/lib/penstock/buffer/corrupt-9f3c2a7e-1 --out saved.jsonl");
  command->callback([options, frame] { frame->exit_code = run(*frame, *options); });
}

}  // namespace penstock::cli
