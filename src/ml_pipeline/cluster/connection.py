"""Connections to an API server with the official client: TLS, the user, and which requests are sent again."""

import ssl
import tempfile
from pathlib import Path

import urllib3
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import ConfigException, load_kube_config_from_dict

from ml_pipeline.cluster.kubeconfig import Section, invalid
from ml_pipeline.common.retries import AGAIN

RETRIES = AGAIN.new(allowed_methods={"GET", "PATCH", "DELETE"})  # each of ours may be done twice
AT_ONCE = 16  # requests
MEMORY = "/dev/shm"  # noqa: S108 - a private folder in it


def connect(kubeconfig: Section) -> tuple[ApiClient, ApiClient]:
    """Return a client that sends a request again if it did not arrive, and one that never does.

    Several threads may use the second one at once. Raises StageFailure.
    """
    configuration = Configuration()
    configuration.proxy = None  # it takes the environment's, and overlooks NO_PROXY
    folder = MEMORY if Path(MEMORY).is_dir() else None
    try:
        # OpenSSL and the client want files.
        with tempfile.TemporaryDirectory(dir=folder) as secrets:
            load_kube_config_from_dict(
                kubeconfig,
                client_configuration=configuration,
                persist_config=False,
                temp_file_path=secrets,
            )
            tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
            if configuration.cert_file:
                tls.load_cert_chain(configuration.cert_file, configuration.key_file)
    except (OSError, ValueError):
        raise invalid("a certificate or key in it is not PEM") from None
    except (ConfigException, AttributeError, TypeError):
        raise invalid("it does not have the fields of a kubeconfig") from None
    # As kubectl: the chain and the name are checked, but a CA may lack an extension. Python
    # 3.13 would refuse the certificates that clusters make for themselves.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not configuration.verify_ssl:
        print("the kubeconfig switches TLS verification off")
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    repeating, direct = ApiClient(configuration), ApiClient(configuration)
    for client, retries in ((repeating, RETRIES), (direct, False)):
        client.rest_client.pool_manager = urllib3.PoolManager(
            ssl_context=tls, server_hostname=configuration.tls_server_name, retries=retries, maxsize=AT_ONCE
        )
    return repeating, direct
