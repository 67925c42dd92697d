// The three descriptors that every program has, whatever it was started with.
#pragma once

namespace penstock::cli {

/// Whoever starts a program may close them (`2>&-`), and the next file that is opened then gets
/// their number: the log would be written into the buffer, or events into the connection. Those
/// that are closed are opened here: reading and writing them fails, what is for stderr is dropped.
/// Thread: main, before anything is opened.
void keep_standard_files();

}  // namespace penstock::cli
