"""Brokers other than mosquitto, from Debian's packages, by path, on free loopback ports.

Each has: port, tls_port, users (name -> password), versions (of MQTT), start(), stop() and kill(). Those that keep what
they acknowledged over a stop say keeps = True.
"""
import base64
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mosquitto  # noqa: E402
from mosquitto import free_port, wait_for_port  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE_S = 300


class NotHere(RuntimeError):
    """The packages cannot be had: the test is not run."""


def fetch(*packages):
    fetched = subprocess.run([HERE / "fetch", "--with-depends", *packages], capture_output=True, text=True)
    if fetched.returncode != 0:
        raise NotHere(fetched.stderr)
    return pathlib.Path(fetched.stdout.strip())


class Broker:
    name, package, versions, keeps = "", "", ("3.1.1",), False
    users = {"gw": "gw-secret"}
    packet_bytes_max = None  # its limit, where it can be told to have one; set before start()
    user_prefix = user_suffix = ""
    ended_by = "KILL"
    ws_path = "/mqtt"  # of MQTT by WebSocket, on ws_port; None: not set up

    def __init__(self, folder, certificate=None):
        """certificate: (ca, certificate, key) files; without it there is no TLS port."""
        self.folder = pathlib.Path(folder) / self.name
        self.folder.mkdir()
        self.root = fetch(self.package)
        self.certificate = certificate
        self.port, self.tls_port, self.ws_port = free_port(), free_port(), free_port()
        self.process = None

    def package_version(self):
        """As its change log has it."""
        with gzip.open(self.root / f"usr/share/doc/{self.package}/changelog.Debian.gz", "rt", encoding="utf-8") as log:
            return log.readline().split("(")[1].split(")")[0]

    def command(self):
        raise NotImplementedError

    def environment(self):
        return dict(os.environ)

    def start(self):
        # Whatever ends the test, the broker ends with it.
        ends_too = ["setpriv", "--pdeathsig", self.ended_by, "--"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([*ends_too, *self.command()], env=self.environment(), cwd=self.folder,
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            start_new_session=True)
        wait_for_port(self.port, self.process, PATIENCE_S)
        if self.certificate:
            wait_for_port(self.tls_port, self.process, PATIENCE_S)
        return self

    def end(self, how):
        if self.process is None:
            return
        self.process.send_signal(how)
        self.process.wait(PATIENCE_S)
        self.process = None

    def stop(self):
        self.end(signal.SIGTERM)

    def kill(self):
        """The whole group: some are started by a shell that stays."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(PATIENCE_S)
        self.process = None

    def close(self):
        self.kill()


class Mosquitto(Broker):
    name, package, versions, keeps = "mosquitto", "mosquitto", ("5", "3.1.1"), True
    root = pathlib.Path("/")

    def __init__(self, folder, certificate=None):
        self.folder = pathlib.Path(folder) / self.name
        self.folder.mkdir()
        self.certificate = certificate
        self.port, self.tls_port, self.ws_port = free_port(), free_port(), free_port()
        self.process = None
        passwords = self.folder / "passwords"
        passwords.write_text("".join(f"{name}:{secret}\n" for name, secret in self.users.items()), encoding="utf-8")
        passwords.chmod(0o600)
        subprocess.run(["mosquitto_passwd", "-U", passwords], check=True, capture_output=True)
        user = "user root\n" if os.getuid() == 0 else ""
        tls = ""
        if certificate:
            tls = (f"listener {self.tls_port} 127.0.0.1\ncafile {certificate[0]}\ncertfile {certificate[1]}\n"
                   f"keyfile {certificate[2]}\n")
        (self.folder / "mosquitto.conf").write_text(
            f"{user}allow_anonymous false\npassword_file {passwords}\npersistence true\n"
            f"persistence_location {self.folder}/\nmax_queued_messages 0\nmax_queued_bytes 0\nlog_type none\n"
            f"listener {self.port} 127.0.0.1\nlistener {self.ws_port} 127.0.0.1\nprotocol websockets\n{tls}", encoding="utf-8")

    def start(self):
        if self.packet_bytes_max:
            with open(self.folder / "mosquitto.conf", "a", encoding="utf-8") as config:
                config.write(f"max_packet_size {self.packet_bytes_max}\n")
        return super().start()

    def command(self):
        binary = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if binary is None:
            raise NotHere("mosquitto is not installed")
        return [binary, "-c", self.folder / "mosquitto.conf"]


class Nats(Broker):
    name, package, keeps = "nats", "nats-server", True

    def command(self):
        users = ", ".join(f'{{user: "{name}", password: "{secret}"}}' for name, secret in self.users.items())
        tls = ""
        config = self.folder / "nats.conf"
        # One MQTT listener only: with TLS it takes nothing else.
        if self.certificate:
            tls = f'tls {{cert_file: "{self.certificate[1]}", key_file: "{self.certificate[2]}"}}'
        port = self.tls_port if self.certificate else self.port
        config.write_text(
            f'server_name: "edge"\nlisten: "127.0.0.1:{free_port()}"\n'
            f'jetstream {{store_dir: "{self.folder}/jetstream"}}\n'
            f'websocket {{listen: "127.0.0.1:{self.ws_port}", no_tls: true}}\n'
            f'mqtt {{listen: "127.0.0.1:{port}", max_ack_pending: 1024, {tls}}}\n'
            f"authorization {{users: [{users}]}}\n", encoding="utf-8")
        return [self.root / "usr/sbin/nats-server", "-c", config]

    def start(self):
        if self.certificate:
            self.port = self.tls_port
        return super().start()


class Erlang(Broker):
    """What runs on Erlang: its emulator from the package, and a name server (epmd) of our own."""

    def environment(self):
        home = self.root / "usr/lib/erlang"
        erts = next(home.glob("erts-*"))
        tools = self.folder / "bin"
        tools.mkdir(exist_ok=True)
        for tool in ("erl", "escript"):
            target = erts / "bin" / ("erlexec" if tool == "erl" else tool)
            (tools / tool).write_text(
                f"#!/bin/sh\nexport ROOTDIR={home} BINDIR={erts}/bin EMU=beam PROGNAME=erl\nexec {target} \"$@\"\n",
                encoding="utf-8")
            (tools / tool).chmod(0o755)
        library = self.root / f"usr/lib/{os.uname().machine}-linux-gnu"
        return {**os.environ, "PATH": f"{tools}:{erts}/bin:{os.environ['PATH']}", "HOME": str(self.folder),
                "ERL_EPMD_PORT": str(self.epmd_port), "ERL_EPMD_ADDRESS": "127.0.0.1",
                "LD_LIBRARY_PATH": str(library), "ERL_LIBS": str(library), "ERL_CRASH_DUMP_SECONDS": "0"}

    def __init__(self, folder, certificate=None):
        super().__init__(folder, certificate)
        self.epmd_port = free_port()
        self.epmd = None

    def start_epmd(self):
        if self.epmd is None:
            with open(self.folder / "epmd.log", "ab") as log:
                self.epmd = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", "epmd", "-port", str(self.epmd_port), "-address", "127.0.0.1"],
                                             env=self.environment(), stdout=log, stderr=log)
            wait_for_port(self.epmd_port, self.epmd, PATIENCE_S)

    def start(self):
        self.start_epmd()
        return super().start()

    def close(self):
        super().close()
        if self.epmd:
            self.epmd.kill()
            self.epmd.wait()
            self.epmd = None


class RabbitMq(Erlang):
    name, package, keeps = "rabbitmq", "rabbitmq-server", True
    ended_by = "TERM"  # a shell, that ends its emulator
    ws_path = "/ws"

    def environment(self):
        definitions = self.folder / "definitions.json"
        definitions.write_text(json.dumps(self.definitions()), encoding="utf-8")
        tls = ""
        if self.certificate:
            ca, certificate, key = self.certificate
            tls = (f"mqtt.listeners.ssl.default = 127.0.0.1:{self.tls_port}\nssl_options.cacertfile = {ca}\n"
                   f"ssl_options.certfile = {certificate}\nssl_options.keyfile = {key}\n"
                   "ssl_options.verify = verify_none\nssl_options.fail_if_no_peer_cert = false\n")
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{free_port()}\nmqtt.listeners.tcp.default = 127.0.0.1:{self.port}\n"
            "mqtt.allow_anonymous = false\nmqtt.vhost = /\nmqtt.exchange = amq.topic\nloopback_users = none\n"
            f"load_definitions = {definitions}\n{tls}"
            + (f"web_mqtt.tcp.ip = 127.0.0.1\nweb_mqtt.tcp.port = {self.ws_port}\n" if self.ws_path else ""), encoding="utf-8")
        plugins = "rabbitmq_mqtt, rabbitmq_web_mqtt" if self.ws_path else "rabbitmq_mqtt"
        (self.folder / "plugins").write_text(f"[{plugins}].\n", encoding="utf-8")
        return {**super().environment(), "RABBITMQ_NODENAME": f"edge{self.port}@localhost",
                "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
                "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
                "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "none.config"),
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
                "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"), "RABBITMQ_LOG_BASE": str(self.folder),
                "RABBITMQ_DIST_PORT": str(free_port()), "RABBITMQ_PID_FILE": str(self.folder / "pid")}

    def definitions(self):
        def hashed(secret):
            salt = b"salt"
            return base64.b64encode(salt + hashlib.sha256(salt + secret.encode()).digest()).decode()
        return {"vhosts": [{"name": "/"}],
                "users": [{"name": name, "password_hash": hashed(secret), "tags": "",
                           "hashing_algorithm": "rabbit_password_hashing_sha256"}
                          for name, secret in self.users.items()],
                "permissions": [{"user": name, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
                                for name in self.users]}

    def command(self):
        return [self.root / "usr/lib/rabbitmq/bin/rabbitmq-server"]


class RabbitMqNode(RabbitMq):
    """One of a cluster, whose first node's name server serves all. Sessions that stay are quorum queues."""
    ws_path = None

    def __init__(self, folder, index, first=None):
        self.name = f"rabbitmq{index}"
        super().__init__(folder)
        self.first = first or self
        self.epmd_port = self.first.epmd_port
        self.nodes = []  # of all of them; set before the first starts
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text("penstockcluster", encoding="ascii")
        cookie.chmod(0o400)

    def node(self):
        return f"{self.name}p{self.port}@localhost"

    def environment(self):
        environment = {**super().environment(), "RABBITMQ_NODENAME": self.node()}
        with open(self.folder / "rabbitmq.conf", "a", encoding="utf-8") as config:
            config.write("mqtt.durable_queue_type = quorum\ncluster_partition_handling = pause_minority\n"
                         "cluster_formation.peer_discovery_backend = classic_config\n")
            for number, name in enumerate(self.nodes, 1):
                config.write(f"cluster_formation.classic_config.nodes.{number} = {name}\n")
        return environment

    def start_epmd(self):
        if self.first is self:
            super().start_epmd()


class Ejabberd(Erlang):
    name, package, versions = "ejabberd", "ejabberd", ("5", "3.1.1")
    user_suffix = "@localhost"

    def environment(self):
        tls = ""
        if self.certificate:
            _, certificate, key = self.certificate
            both = self.folder / "both.pem"
            both.write_text(certificate.read_text() + key.read_text(), encoding="ascii")
            tls = (f'certfiles: ["{both}"]\n')
        tls_listener = (f'  - {{port: {self.tls_port}, ip: "127.0.0.1", module: mod_mqtt, backlog: 100, tls: true}}\n'
                        if self.certificate else "")
        limit = f", max_payload_size: {self.packet_bytes_max}" if self.packet_bytes_max else ""
        (self.folder / "ejabberd.yml").write_text(
            f'hosts: ["localhost"]\nloglevel: warning\n{tls}'
            f'listen:\n  - {{port: {self.port}, ip: "127.0.0.1", module: mod_mqtt, backlog: 100{limit}}}\n{tls_listener}'
            f'  - {{port: {self.ws_port}, ip: "127.0.0.1", module: ejabberd_http, request_handlers: {{"{self.ws_path}": mod_mqtt}}}}\n'
            f"auth_method: internal\nauth_password_format: plain\nmodules:\n  mod_mqtt: {{}}\n", encoding="utf-8")
        return {**super().environment(), "EJABBERD_CONFIG_PATH": str(self.folder / "ejabberd.yml"),
                "EJABBERD_LOG_PATH": str(self.folder / "ejabberd.log")}

    def command(self):
        add = "".join(f',ejabberd_auth:try_register(<<"{name}">>,<<"localhost">>,<<"{secret}">>)'
                      for name, secret in self.users.items())
        return ["erl", "-noinput", "-sname", f"edge{self.port}@localhost", "-mnesia", "dir", f'"{self.folder}/spool"',
                "-eval", f"{{ok,_}}=application:ensure_all_started(ejabberd){add}."]


ALL = {broker.name: broker for broker in (Mosquitto, RabbitMq, Ejabberd, Nats)}
