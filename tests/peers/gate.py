"""A gate on the way to a server: open, it passes bytes both ways; closed, it refuses and cuts what there is."""
import socket
import threading

CHUNK = 1 << 16


class Gate:
    def __init__(self, target_port):
        self.target_port = target_port
        self.lock = threading.Lock()  # guards: is_open, connections
        self.is_open = True
        self.connections = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self.serve, args=(near,), daemon=True).start()

    def serve(self, near):
        try:
            far = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        with self.lock:
            if not self.is_open:
                near.close()
                far.close()
                return
            self.connections.add((near, far))
        back = threading.Thread(target=self.pump, args=(far, near), daemon=True)
        back.start()
        self.pump(near, far)
        back.join()
        with self.lock:
            self.connections.discard((near, far))
        near.close()
        far.close()

    @staticmethod
    def pump(source, sink):
        try:
            while True:
                data = source.recv(CHUNK)
                if not data:
                    break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def shut(self):
        with self.lock:
            self.is_open = False
            for pair in self.connections:
                for end in pair:
                    try:
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass

    def open(self):
        with self.lock:
            self.is_open = True

    def close(self):
        self.shut()
        self.listener.close()
