"""An authority of the test's own, and a server's certificate by it."""
import subprocess


def make_certificate(folder, names="DNS:localhost,IP:127.0.0.1"):
    """(ca, certificate, key) of a server on 127.0.0.1, or of these names."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
            "-subj", "/CN=test authority")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text(f"subjectAltName={names}\n", encoding="ascii")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "names", "-out", "server.pem")
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder / "ca.pem", folder / "server.pem", folder / "server.key"
