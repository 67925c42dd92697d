"""A name server (DNS over UDP) that answers as the test says: right, late, with an error, or not at all.

Started in a network namespace of its own, where 127.0.0.1:53 is free and /etc/resolv.conf names it (`in_own_network`).
"""
import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import threading

A, AAAA = 1, 28
OK, SERVFAIL, NXDOMAIN = 0, 2, 3
MARK = "PENSTOCK_OWN_NETWORK"


def in_own_network():
    """True in the namespace; else runs this program again in one and ends with its code, or returns False where that cannot be."""
    if os.environ.get(MARK):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return True
    if os.geteuid() != 0 or subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True).returncode != 0:
        return False
    with tempfile.TemporaryDirectory(prefix="penstock-names-") as folder:
        files = pathlib.Path(folder)
        (files / "resolv.conf").write_text("nameserver 127.0.0.1\n", encoding="ascii")
        (files / "hosts").write_text("127.0.0.1 localhost\n", encoding="ascii")
        (files / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n", encoding="ascii")
        binds = " && ".join(f"mount --bind {files}/{name} /etc/{name}" for name in ("resolv.conf", "hosts", "nsswitch.conf"))
        again = ["unshare", "--net", "--mount", "sh", "-c", f'{binds} && exec "$0" "$@"', sys.executable, *sys.argv]
        sys.exit(subprocess.run(again, env={**os.environ, MARK: "1"}).returncode)


class NameServer(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        self.addresses = {}      # name -> addresses, of either kind, in the order of the answer
        self.code = OK
        self.delay_s = 0.0
        self.answers_left = None  # how many queries are still answered; None: all
        self.queries = 0

    def run(self):
        while True:
            query, sender = self.socket.recvfrom(4096)
            self.queries += 1
            if self.answers_left is not None:
                if self.answers_left == 0:
                    continue
                self.answers_left -= 1
            reply = self.reply(query)
            if self.delay_s:
                threading.Timer(self.delay_s, self.socket.sendto, (reply, sender)).start()
            else:
                self.socket.sendto(reply, sender)

    def silent(self, after=0):
        """Nothing is answered but the next `after` queries. A look-up is two: of A and of AAAA."""
        self.answers_left = after

    def talk(self):
        self.answers_left = None

    def reply(self, query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        question = query[12:at + 5]
        (kind,) = struct.unpack(">H", query[at + 1:at + 3])
        known = self.addresses.get(".".join(labels))
        code = self.code or (OK if known is not None else NXDOMAIN)
        records = b""
        count = 0
        for address in (known or []) if code == OK else []:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            if kind != (AAAA if family == socket.AF_INET6 else A):
                continue
            packed = socket.inet_pton(family, address)
            records += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(packed)) + packed
            count += 1
        return query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, count, 0, 0) + question + records
