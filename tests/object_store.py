"""A server that speaks S3, on this machine: moto's, which checks signatures."""

import contextlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from moto import settings
from moto.core.responses import ActionAuthenticatorMixin
from moto.moto_api._internal import moto_api_backend
from moto.server import ThreadedMotoServer

BUCKET = "warehouse"
ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


@dataclass(frozen=True)
class Store:
    """Buckets of one user, of whom the server knows `key` and `secret`."""

    endpoint: str
    key: str
    secret: str

    def put(self, key: str, content: bytes, **options: str) -> None:
        """Write an object into the bucket, `ACL="public-read"` for everyone."""
        self._client.put_object(Bucket=BUCKET, Key=key, Body=content, **options)

    def get(self, key: str) -> bytes:
        content: bytes = self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=BUCKET, Key=key)

    def credentials(self, key: str | None = None, secret: str | None = None) -> str:
        """Return the file that AWS's tools read, with what is not given as it is right."""
        return (
            f"[default]\naws_access_key_id = {key or self.key}\n"
            f"aws_secret_access_key = {secret or self.secret}\n{self.place}"
        )

    @property
    def place(self) -> str:
        return f"region = us-east-1\nendpoint_url = {self.endpoint}\n"

    @contextlib.contextmanager
    def open_to_all(self) -> Iterator[None]:
        """Let requests without a signature read what is public."""
        settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
        try:
            yield
        finally:
            settings.INITIAL_NO_AUTH_ACTION_COUNT = 0

    @property
    def _client(self) -> Any:
        return _client("s3", self.endpoint, self.key, self.secret)


def _client(service: str, endpoint: str, key: str = "root", secret: str = "root") -> Any:  # noqa: S107 - moto's
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )


@contextlib.contextmanager
def serving(host: str = "127.0.0.1") -> Iterator[Store]:
    """Serve an empty bucket on a free port, to those who sign."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto_api_backend.reset()
    settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
    server = ThreadedMotoServer(host, 0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        users = _client("iam", endpoint)
        users.create_user(UserName="trainer")
        users.put_user_policy(UserName="trainer", PolicyName="all", PolicyDocument=json.dumps(ALL))
        made = users.create_access_key(UserName="trainer")["AccessKey"]
        store = Store(endpoint, made["AccessKeyId"], made["SecretAccessKey"])
        _client("s3", endpoint).create_bucket(Bucket=BUCKET)
        ActionAuthenticatorMixin.request_count = 0
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
        yield store
    finally:
        settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
        server.stop()
