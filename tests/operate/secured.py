"""A real broker that asks for a name and a password over TLS and lets nobody do what no ACL allows."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from connector.emulator.tls import server_context
from connector.local.kafka import Kafka

if TYPE_CHECKING:
    from pathlib import Path

ADMIN, ADMIN_PASSWORD = "admin", "admin-password"
KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,
}
OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}
PATTERNS = {"literal": ResourcePatternType.LITERAL, "prefixed": ResourcePatternType.PREFIXED}


class User(NamedTuple):
    """A principal of the broker."""

    name: str
    password: str


class SecuredKafka:
    """One broker with SASL_SSL (PLAIN for the administrator, SCRAM for everybody else) and StandardAuthorizer."""

    def __init__(self, folder: Path) -> None:
        tls = folder / "tls"
        server_context(tls, "localhost")
        self.ca = tls / "ca.pem"
        jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        self._kafka = Kafka(
            properties={
                "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,CLIENT:SASL_SSL",
                "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
                "listener.name.client.plain.sasl.jaas.config": f'{jaas} user_{ADMIN}="{ADMIN_PASSWORD}";',
                "listener.name.client.scram-sha-512.sasl.jaas.config": (
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                ),
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": str(_keystore(tls)),
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                # Broker and controller are one process, whose own listeners ask for no name.
                "super.users": f"User:{ADMIN};User:ANONYMOUS",
            },
            client=self.connection(User(ADMIN, ADMIN_PASSWORD), "PLAIN"),
        )

    def start(self) -> SecuredKafka:
        self._kafka.start()
        self.admin = AdminClient(
            {"bootstrap.servers": self.bootstrap, **self.connection(User(ADMIN, ADMIN_PASSWORD), "PLAIN")}
        )
        return self

    def stop(self) -> None:
        self._kafka.stop()

    @property
    def bootstrap(self) -> str:
        return self._kafka.bootstrap

    def connection(self, user: User, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """librdkafka settings of one user."""
        return {**self.properties(user, mechanism), "sasl.password": user.password}

    def properties(self, user: User, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """The same without the secret, as in kafka.properties."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanisms": mechanism,
            "sasl.username": user.name,
            "ssl.ca.location": str(self.ca),
        }

    def user(self, password: str | None = None) -> User:
        """A new user, who may do nothing yet."""
        user = User(f"u{uuid.uuid4().hex[:8]}", password or uuid.uuid4().hex)
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(user.name, scram, user.password.encode(), os.urandom(16))
        for future in self.admin.alter_user_scram_credentials([change]).values():
            future.result(20)
        return user

    def grant(self, user: User, grants) -> None:
        """Let the user do it; each has kind, name, pattern, operation."""
        bindings = [_binding(user, grant) for grant in grants]
        if not bindings:
            return
        for future in self.admin.create_acls(bindings).values():
            future.result(20)

    def revoke(self, user: User, grant) -> None:
        """Take one grant away."""
        binding = _binding(user, grant)
        wanted = AclBindingFilter(
            binding.restype,
            binding.name,
            binding.resource_pattern_type,
            binding.principal,
            binding.host,
            binding.operation,
            binding.permission_type,
        )
        for future in self.admin.delete_acls([wanted]).values():
            assert len(future.result(20)) == 1


def _binding(user: User, grant) -> AclBinding:
    return AclBinding(
        KINDS[grant.kind],
        grant.name,
        PATTERNS[grant.pattern],
        f"User:{user.name}",
        "*",
        OPERATIONS[grant.operation],
        AclPermissionType.ALLOW,
    )


def _keystore(tls: Path) -> Path:
    """Kafka wants the key before the certificate, in one file, as the emulator writes it."""
    return tls / "server.pem"
