"""What happened, as records, and as lines of a log."""

from authsrv.audit.log import (
    describe,
    log_event,
    logs_routine,
)
from authsrv.audit.records import (
    AbandonedEvent,
    AuditEvent,
    AuditSink,
    ChallengedEvent,
    ChallengeKind,
    ConnectionIdentityEndedEvent,
    ContinuedEvent,
    EstablishedEvent,
    RecalledEvent,
    RefusedEvent,
    Request,
)

__all__ = [
    "AbandonedEvent",
    "AuditEvent",
    "AuditSink",
    "ChallengeKind",
    "ChallengedEvent",
    "ConnectionIdentityEndedEvent",
    "ContinuedEvent",
    "EstablishedEvent",
    "RecalledEvent",
    "RefusedEvent",
    "Request",
    "describe",
    "log_event",
    "logs_routine",
]
