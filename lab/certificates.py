"""The cluster's certificate authority, the certificates that it signs, and kubeconfigs with them."""

import base64
from pathlib import Path

from lab.paths import ENGINE_GATEWAY, KUBECONFIG, PKI, replace_folder, write
from lab.steps import run, temporary

DAYS = "3650"
KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
NAMES = "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1"
KUBELET_CONFIG = PKI / "kubelet.kubeconfig"
ADMIN_CONFIG = PKI / "admin.kubeconfig"


def make() -> bool:
    """Make all of it in one step unless it exists; return whether it was made."""
    made_now = not ADMIN_CONFIG.exists()
    if made_now:
        with temporary("pki") as made:
            pki = made / "pki"
            pki.mkdir(mode=0o700)
            _authority(pki)
            _sign(pki, "apiserver", "/CN=kube-apiserver", f"{NAMES},IP:{ENGINE_GATEWAY}")
            _sign(pki, "admin", "/O=system:masters/CN=admin", "DNS:admin")
            _sign(pki, "kubelet", "/O=system:nodes/CN=system:node:lab", "DNS:lab,IP:127.0.0.1")
            for user in ("admin", "kubelet"):
                write(pki / f"{user}.kubeconfig", kubeconfig(pki, user), mode=0o600)
            replace_folder(pki, PKI)
    if not KUBECONFIG.exists() or KUBECONFIG.read_bytes() != ADMIN_CONFIG.read_bytes():
        write(KUBECONFIG, ADMIN_CONFIG.read_text(), mode=0o600)
    return made_now


def kubeconfig(pki: Path, user: str) -> str:
    """Return a self-contained kubeconfig for a user whose certificate is in a folder."""

    def data(name: str) -> str:
        return base64.b64encode((pki / name).read_bytes()).decode()

    return f"""\
apiVersion: v1
kind: Config
current-context: lab
clusters:
- name: lab
  cluster:
    server: https://127.0.0.1:6443
    certificate-authority-data: {data("ca.crt")}
contexts:
- name: lab
  context: {{cluster: lab, user: {user}}}
users:
- name: {user}
  user:
    client-certificate-data: {data(f"{user}.crt")}
    client-key-data: {data(f"{user}.key")}
"""


def _authority(pki: Path) -> None:
    # Python 3.13 refuses a certificate authority without keyUsage.
    _openssl(
        "req", "-x509", *KEY, "-days", DAYS, "-subj", "/CN=lab",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        "-keyout", pki / "ca.key", "-out", pki / "ca.crt",
    )  # fmt: skip
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", pki / "sa.key")


def _sign(pki: Path, name: str, subject: str, names: str) -> None:
    extensions = pki / f"{name}.ext"
    extensions.write_text(
        f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n"
        "authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
    )
    key, request, certificate = (pki / f"{name}.{suffix}" for suffix in ("key", "csr", "crt"))
    _openssl("req", *KEY, "-subj", subject, "-keyout", key, "-out", request)
    _openssl(
        "x509", "-req", "-days", DAYS, "-in", request, "-CA", pki / "ca.crt", "-CAkey", pki / "ca.key",
        "-CAcreateserial", "-out", certificate, "-extfile", extensions,
    )  # fmt: skip


def _openssl(*words: str | Path) -> None:
    run(["openssl", *words], log="pki", what=f"openssl {words[0]}")
