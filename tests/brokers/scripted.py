"""The real agent against a broker that misbehaves as a script says: the row `scripted` of tests/brokers/run.

A case is a function with the protocols that it is for; its docstring says what has to hold. What the script's broker took,
with what it would pass on, is judged by the independent receiver; what the agent has to tell is looked for in its log and status.
"""
import concurrent.futures
import pathlib
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peers"))
import mqtt_codec as mqtt  # noqa: E402
from bench import wait  # noqa: E402
from independent_receiver import Account  # noqa: E402
from scripted_bench import ScriptedBench  # noqa: E402
from scripted_broker import Ended, Script  # noqa: E402

AT_ONCE = 8  # cases mostly wait
ANONYMOUS_KIB_MAX = 16 << 10
FLOOR_S = 0.09  # an agent waits at least 0.1 s before it tries again
SHORT, LONG = "ack_timeout: 1s, ", "ack_timeout: 60s, "
EITHER, MQTT_5 = ("5", "3.1.1"), ("5",)
CASES = {}


def case(protocols, upstream="", **broker):
    def add(function):
        CASES[function.__name__] = (function, protocols, upstream, broker)
        return function
    return add


class Slow(Script):
    def publish(self, connection, found):
        time.sleep(0.25)
        connection.take(found)


@case(EITHER, "ack_timeout: 3s, in_flight: 16, ")
def delayed(bench):
    """PUBACKs come one by one, and those for a full window take longer than `ack_timeout`: the connection stays"""
    bench.play(Slow())
    bench.judge()
    assert bench.broker.accepts == 1, bench.broker.accepts


class Backwards(Script):
    """Answers four at a time, the last one first."""

    def publish(self, connection, found):
        connection.broker.remember(found)
        with connection.lock:
            connection.kept.append(found)
            if len(connection.kept) >= 4:
                self.answer(connection)
        connection.later(0.1, self.answer, connection)

    def answer(self, connection):
        with connection.lock:
            while connection.kept:
                connection.answer(connection.kept.pop())


@case(EITHER)
def reordered(bench):
    """PUBACKs come in another order: nothing is sent again"""
    bench.play(Backwards())
    bench.judge()
    wait(bench.is_drained, "an empty buffer")
    assert (bench.broker.accepts, bench.rule.repeats) == (1, 0), (bench.broker.accepts, bench.rule.repeats)


class LosesFirst(Script):
    """The first message of the first connection is neither passed on nor answered."""

    def publish(self, connection, found):
        if connection.number == 1 and connection.publishes == 1:
            return
        connection.take(found)


@case(EITHER, LONG)
def killed_before_the_oldest(bench):
    """Later batches are acknowledged and the oldest is not when the agent is killed: it is sent all the same"""
    bench.play(LosesFirst())
    wait(lambda: len(bench.broker.taken) >= 7, "the rest of the window")
    bench.agent.kill()
    bench.agent.start()
    bench.wait_for_lines()
    bench.judge_late()


class Forgets(Script):
    """Passes the fifth message on and never says so, on two connections."""

    def publish(self, connection, found):
        if connection.number <= 2 and connection.publishes == 5:
            connection.broker.remember(found)
        else:
            connection.take(found)


@case(EITHER, SHORT)
def missing(bench):
    """A PUBACK never comes: after `ack_timeout` the agent says so, connects anew and sends again, in order"""
    bench.play(Forgets())
    wait(bench.is_drained, "an empty buffer")
    bench.judge()
    assert 'reason="no acknowledgement for 1 s of a message of ' in bench.log(), bench.agent.log_tail()
    assert bench.broker.accepts >= 3 and bench.rule.repeats > 0, (bench.broker.accepts, bench.rule.repeats)


class Strange(Script):
    """Answers twice, and what was never sent."""

    def publish(self, connection, found):
        connection.take(found)
        connection.answer(found)
        connection.send(mqtt.puback(60_000, connection.version))
        connection.send(mqtt.puback(60_001, connection.version, 0x97))


@case(EITHER)
def unasked(bench):
    """PUBACKs come twice, and for packets that were never sent: they mean nothing"""
    bench.play(Strange())
    bench.judge()
    wait(bench.is_drained, "an empty buffer")
    assert (bench.broker.accepts, bench.rule.repeats) == (1, 0), (bench.broker.accepts, bench.rule.repeats)


class TooLate(Script):
    """Answers what came on the first three connections only once the client has ended them; passes nothing of it on."""

    def publish(self, connection, found):
        if connection.number > 3:
            connection.take(found)
        else:
            connection.kept.append(found)

    def ended(self, connection):
        for _ in range(2):
            for found in connection.kept:
                connection.answer(found)
            time.sleep(0.3)


@case(EITHER, SHORT)
def late(bench):
    """PUBACKs come on connections that have ended: they mean nothing for those that follow"""
    bench.play(TooLate())
    bench.judge()
    assert bench.broker.accepts >= 4, bench.broker.accepts


class Refuses(Script):
    """Data with `word` in its topic or payload."""

    def __init__(self, code, word):
        self.code, self.word = code, word

    def publish(self, connection, found):
        if self.word in found["topic"].encode() + found["payload"]:
            connection.answer(found, self.code)
        else:
            connection.take(found)


def refused_for_good(bench, code, reason):
    bench.append(100, name="other")
    bench.play(Refuses(code, b'"line 123 '))
    bench.wait_for_log("event=batch_lost")
    bench.judge_late(lost=10)
    assert bench.arrived("other") == 100
    (told,) = bench.losses()
    assert (told["reason"], told["code"], told["lost"]) == ("refused", code, 10), told
    assert f'reason="{reason} (0x{code:02x})"' in bench.log(), bench.agent.log_tail()
    assert bench.upstream()["refused_events"] == 10
    assert bench.broker.accepts == 1, bench.broker.accepts


@case(MQTT_5)
def refused_payload(bench):
    """PUBACK 0x99: never to be taken, so a loss record with the code goes in its place, and all else arrives"""
    refused_for_good(bench, 0x99, "payload format invalid")


@case(MQTT_5)
def refused_topic(bench):
    """PUBACK 0x90: as 0x99"""
    refused_for_good(bench, 0x90, "topic name invalid")


def refused_for_now(bench, code, reason):
    bench.append(100, name="other")
    bench.play(Refuses(code, b"/data/app"))
    bench.wait_for_log("event=stream_parked")
    bench.append(100, name="other")
    bench.wait_for_lines("other")
    wait(lambda: bench.upstream().get("parked_streams") == 1, "the stream in the status")
    assert bench.upstream()["parked"] == [{"stream": "app", "reason": f"{reason} (0x{code:02x})"}], bench.upstream()
    bench.append(100)
    time.sleep(2)  # it is tried again meanwhile
    assert bench.arrived() == 0
    bench.broker.script = Script()
    bench.judge()
    bench.wait_for_log("event=stream_returned")
    assert bench.log().count("event=stream_parked") == 1, bench.agent.log_tail()
    assert bench.broker.accepts == 1 and not bench.rule.loss_records, bench.agent.log_tail()


@case(MQTT_5)
def refused_unspecified(bench):
    """PUBACK 0x80: the stream waits, told once; others go on; it arrives, in order, once it is taken"""
    refused_for_now(bench, 0x80, "unspecified error")


@case(MQTT_5)
def refused_rights(bench):
    """PUBACK 0x87: as 0x80"""
    refused_for_now(bench, 0x87, "not authorised")


@case(MQTT_5)
def refused_quota(bench):
    """PUBACK 0x97: as 0x80"""
    refused_for_now(bench, 0x97, "quota exceeded")


class StopsReading(Script):
    """Takes some, then nothing more until it is told to go on."""

    def __init__(self):
        self.goes_on = threading.Event()

    def publish(self, connection, found):
        if connection.publishes > 3:
            self.goes_on.wait()
        connection.take(found)


def stop_reading(bench, seconds):
    script = StopsReading()
    bench.replace("batch: {events: 10}", "batch: {events: 500}")
    bench.play(script, 8_000, size=1_000)
    wait(lambda: len(bench.broker.taken) >= 3, "the first batches")
    most, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        bench.append(800, size=1_000)
        asked = time.monotonic()
        assert bench.agent.status(), "no status"
        assert time.monotonic() - asked < 10, "the status takes too long"
        most = max(most, bench.agent.anonymous_kib())
        time.sleep(0.2)
    assert most <= ANONYMOUS_KIB_MAX, f"{most} KiB of memory"
    accepts = bench.broker.accepts
    script.goes_on.set()
    bench.judge()
    most = max(most, bench.agent.anonymous_kib())
    assert most <= ANONYMOUS_KIB_MAX, f"{most} KiB of memory"
    return accepts


@case(EITHER, LONG, receive_buffer=4096)
def stops_reading(bench):
    """The broker stops reading: memory stays under 16 MiB, the status answers, and all goes on by itself on the same connection"""
    stop_reading(bench, 5)
    assert bench.broker.accepts == 1, bench.broker.accepts


@case(MQTT_5, LONG, receive_buffer=4096, tls=True)
def stops_reading_by_tls(bench):
    """The same by `mqtts://`"""
    stops_reading(bench)


@case(EITHER, SHORT, receive_buffer=4096)
def stops_reading_for_long(bench):
    """The same for longer than `ack_timeout`: each new connection gets stuck too"""
    assert stop_reading(bench, 8) > 2
    assert 'reason="no acknowledgement for 1 s of a message of ' in bench.log(), bench.agent.log_tail()


@case(EITHER, LONG, receive_buffer=4096)
def stops_reading_for_ever(bench):
    """SIGTERM while the broker does not read: the agent ends in time, and the next one sends the rest"""
    script = StopsReading()
    bench.play(script, 4_000, size=1_000)
    wait(lambda: len(bench.broker.taken) >= 3, "the first batches")
    bench.finish()
    bench.broker.script = Script()
    script.goes_on.set()
    bench.agent.start()
    bench.judge()


class Ends(Script):
    """A DISCONNECT on each connection, once a batch was taken."""

    def __init__(self, code, props=()):
        self.code, self.props = code, props

    def publish(self, connection, found):
        connection.take(found)
        connection.disconnect(self.code, self.props)


def sent_away(bench, code, reason, *props):
    bench.play(Ends(code, props), 1_000)
    wait(lambda: bench.broker.accepts >= 5, "five connections")
    bench.wait_for_log(f'event=connection_lost broker="mqtt://127.0.0.1:{bench.broker.port}" '
                       f'reason="the broker ends the connection: {reason}')
    times = bench.broker.accepted_at
    assert min(b - a for a, b in zip(times, times[1:])) >= FLOOR_S, times
    bench.broker.script = Script()
    bench.judge()
    said = reason.replace("\\", "")
    wait(lambda: any(said in event["error"] for event in bench.told("upstream", state="lost")), "the event of a lost connection")


@case(MQTT_5)
def taken_over(bench):
    """DISCONNECT 0x8E, session taken over, each time the agent comes back: said, with a pause before the next try"""
    sent_away(bench, 0x8E, "session taken over by another client with the same id")


@case(MQTT_5)
def moved(bench):
    """DISCONNECT 0x9D, server moved: said, with the place it names and what to do"""
    sent_away(bench, 0x9D, 'server moved; it names \\"broker-2.example:1883\\", not followed: set the '
              "broker's URL to it if it is right", (mqtt.SERVER_REFERENCE, "broker-2.example:1883"))


@case(MQTT_5)
def use_another(bench):
    """DISCONNECT 0x9C, use another server: as 0x9D, with the broker's own words"""
    sent_away(bench, 0x9C, 'use another server: \\"full\\"', (mqtt.REASON_STRING, "full"))


class TurnsAway(Script):
    """A CONNACK with this code for the first four connections, or as many."""

    def __init__(self, code, props=(), times=4):
        self.code, self.props, self.times = code, props, times

    def connect(self, connection, asked):
        if connection.number > self.times:
            return super().connect(connection, asked)
        connection.send(mqtt.connack(connection.version, code=self.code, props=self.props))
        raise Ended


def turned_away(bench, code, reason):
    bench.play(TurnsAway(code), 50)
    bench.wait_for_log(f'reason="the broker refuses the connection: {reason}')
    bench.judge()
    times = bench.broker.accepted_at
    assert len(times) == 5 and min(b - a for a, b in zip(times, times[1:])) >= FLOOR_S, times
    assert bench.log().count("event=connection_failed") == 1, bench.agent.log_tail()


@case(EITHER)
def refused_login(bench):
    """CONNACK 0x86, bad user name or password (4 with MQTT 3.1.1): said once, and tried again after pauses"""
    turned_away(bench, bench.by_protocol(0x86, 4), "bad user name or password (0x86)")


@case(EITHER)
def refused_client(bench):
    """CONNACK 0x87, not authorised (5): as 0x86"""
    turned_away(bench, bench.by_protocol(0x87, 5), "not authorised (0x87)")


@case(MQTT_5)
def refused_method(bench):
    """CONNACK 0x8C, bad authentication method: as 0x86"""
    turned_away(bench, 0x8C, "bad authentication method (0x8c)")


WORDS = ((mqtt.SERVER_REFERENCE, "broker-2.example:1883"), (mqtt.REASON_STRING, "new\x1b[2J home\n" + "€" * 200))
SAID = ('; it names "broker-2.example:1883", not followed: set the broker\'s URL to it if it is right: '
        '"new\\x1b[2J home\\n' + "€" * 29 + '"')


@case(MQTT_5)
def refused_moved(bench):
    """CONNACK 0x9D, server moved: as 0x86, with its words, cut and made safe; by `send`, `check --net`, `receive` too"""
    bench.play(TurnsAway(0x9D, WORDS, times=1_000_000), 50)
    bench.wait_for_log('reason="the broker refuses the connection: server moved (0x9d); it names \\"broker-2.example:1883\\"')
    said = "the broker refuses the connection: server moved (0x9d)" + SAID
    wait(lambda: bench.upstream().get("error") == said, "the words in the status")
    for command in (["send"], ["check", "--net"]):
        done = bench.run(*command, "-c", bench.agent.config)
        assert done.returncode == 76 and said in done.stdout, (command, done.stdout, done.stderr)
    done = bench.run("receive", "--broker", f"mqtt://127.0.0.1:{bench.broker.port}", "--for", "1s")
    said = said.rstrip('€"')  # a line of its is cut
    assert done.returncode == 69 and said.replace("\\", "\\\\").replace('"', '\\"') in done.stderr, done.stderr
    bench.broker.script = Script()
    bench.judge()
    assert bench.log().count("event=connection_failed") == 1, bench.agent.log_tail()


@case(MQTT_5)
def refused_wordless(bench):
    """CONNACK 0x9C, use another server, without a word: as 0x86"""
    turned_away(bench, 0x9C, 'use another server (0x9c)"')


class Limits(Script):
    """Says its limits, and notes what is sent against them."""

    def __init__(self, *props):
        self.props, self.waiting, self.most_waiting, self.aliases, self.largest = props, 0, 0, 0, 0

    def connack_properties(self, asked):
        return self.props

    def is_data(self, found):
        self.largest = max(self.largest, found["packet_bytes"])
        self.aliases += not found["topic"] or mqtt.TOPIC_ALIAS in dict(found["properties"])
        return True

    def publish(self, connection, found):
        with connection.lock:
            self.waiting += 1
            self.most_waiting = max(self.most_waiting, self.waiting)
            connection.broker.remember(found)
        connection.later(0.02, self.answer, connection, found)

    def answer(self, connection, found):
        with connection.lock:
            self.waiting -= 1
            connection.answer(found)


def limited(bench, *props):
    script = Limits(*props)
    bench.play(script, 200)
    bench.judge()
    bench.finish()
    assert bench.broker.accepts == 1, bench.broker.accepts
    return script


@case(MQTT_5, "in_flight: 16, ")
def receive_maximum(bench):
    """CONNACK with a receive maximum of 1: never two packets at a time, the status included"""
    assert limited(bench, (mqtt.RECEIVE_MAXIMUM, 1)).most_waiting == 1


@case(MQTT_5)
def assigned_id(bench):
    """CONNACK with a client id that nobody asked for: it changes nothing"""
    limited(bench, (mqtt.ASSIGNED_CLIENT_ID, "auto-17"))
    bench.append(10)
    bench.agent.start()
    bench.judge()
    assert {asked["client_id"] for _, asked in bench.broker.connects} == {"penstock-gw-7"}


@case(MQTT_5)
def aliases(bench):
    """CONNACK with a topic alias maximum of 10: topics go out whole"""
    assert limited(bench, (mqtt.TOPIC_ALIAS_MAXIMUM, 10)).aliases == 0


@case(MQTT_5)
def no_aliases(bench):
    """CONNACK with a topic alias maximum of 0: as with 10"""
    assert limited(bench, (mqtt.TOPIC_ALIAS_MAXIMUM, 0)).aliases == 0


@case(MQTT_5)
def packet_size(bench):
    """CONNACK with a maximum packet size: batches are split, an event that is larger becomes a loss record"""
    script = bench.broker.script = Limits((mqtt.MAXIMUM_PACKET_SIZE, 1_000))
    bench.append(100)
    bench.append(1, size=3_000)
    bench.play(script, 100)
    bench.judge_late(lost=1)
    assert script.largest <= 1_000, script.largest
    assert bench.upstream()["refused_events"] == 1


class Impatient(Limits):
    """Ends a connection on which nothing came for three times its keep-alive of 4 s."""

    def connect(self, connection, asked):
        super().connect(connection, asked)
        connection.socket.settimeout(12)


@case(MQTT_5, "keep_alive: 60s, ")
def keep_alive(bench):
    """CONNACK with a keep-alive of 4 s: the agent's own of 60 s does not count, and an idle connection stays"""
    bench.play(Impatient((mqtt.SERVER_KEEP_ALIVE, 4)), 50)
    bench.judge()
    wait(lambda: bench.broker.connections[-1].pings >= 2 or bench.broker.accepts > 2, "two PINGREQs")
    assert [asked["keep_alive"] for _, asked in bench.broker.connects] == [60, 4], bench.agent.log_tail()


@case(EITHER, SHORT + "ack: receiver, receivers: [judge], ")
def receiver(bench):
    """With `ack: receiver` a receiver stays silent: told in log, status and `_agent` once, and once when it is back; sent again"""
    bench.play(Script(), 100)
    wait(lambda: bench.told("receiver_silent", name="judge"), "the event of a silent receiver")
    wait(lambda: bench.arrived() == 100 and bench.rule.repeats >= 100, "all once more")
    (judge,) = bench.upstream()["receivers"]
    assert (judge["name"], judge["is_silent"], judge["last_heard"], judge["ignored"]) == ("judge", True, None, 0), judge
    account = Account()

    def speak():
        account.rule = bench.poll()
        account.epochs = {"gw-7": next(key[2] for key in account.rule.streams)}
        bench.broker.connections[-1].send(mqtt.publish("penstock/gw-7/ack/judge", account.statement("gw-7", "run-1").encode(),
                                                       7, bench.by_protocol(5, 4)))
        return bench.is_drained()
    wait(speak, "an empty buffer")
    wait(lambda: bench.told("receiver_back", name="judge"), "the event of its return")
    told = bench.upstream()
    assert not told["receivers"][0]["is_silent"] and told["receivers"][0]["last_heard"], told
    assert told["verified_events"] >= 100, told
    told = [event["event"] for key, stream in bench.poll().streams.items() if key[1] == "_agent" for event in stream.events
            if event["event"].startswith("receiver_")]
    assert told == (["receiver_silent", "receiver_back"] * len(told))[:len(told)], told  # its own return has to be verified too
    bench.judge()


class NeverPings(Script):
    def ping(self, connection):
        if connection.number > 1:
            super().ping(connection)


@case(EITHER, "keep_alive: 5s, ")
def no_pingresp(bench):
    """PINGRESP never comes on an idle connection: the agent connects anew"""
    bench.play(NeverPings(), 50)
    bench.judge()
    wait(lambda: bench.broker.accepts == 2, "another connection")
    bench.append(50)
    bench.judge()


def play(name, protocol, binary):
    function, _, upstream, broker = CASES[name]
    with tempfile.TemporaryDirectory(prefix="penstock-scripted-", ignore_cleanup_errors=True) as folder:
        bench = ScriptedBench(folder, binary, protocol, upstream, **broker)
        began = time.monotonic()
        try:
            function(bench)
            if bench.agent.process:
                bench.finish()
        except Exception as error:
            raise AssertionError(f"{name} protocol={protocol}: {error!r}\n{bench.agent.log_tail()}") from error
        finally:
            bench.close()
        return time.monotonic() - began


def run(binary, only):
    """Plays all cases, some at a time; returns those that held: [(name, protocol)]."""
    runs = [(name, protocol) for name, (_, protocols, _, _) in CASES.items() if only in (None, name) for protocol in protocols]
    failed = []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for (name, protocol), done in [(key, pool.submit(play, *key, binary)) for key in runs]:
            if error := done.exception():
                failed.append((name, protocol))
                print(f"  scripted {error}", flush=True)
            else:
                print(f"  scripted {name} protocol={protocol}: ok, {done.result():.1f} s", flush=True)
    assert not failed, f"failed: {failed}"
    return runs


def table():
    lines = ["| case | MQTT | what has to hold |", "|---|---|---|"]
    lines += [f"| {name.replace('_', ' ')} | {', '.join(protocols)} | {function.__doc__} |"
              for name, (function, protocols, _, _) in CASES.items()]
    return "\n".join(lines)
