"""What happened, as records, and as lines of a log."""

from authsrv.audit.log import (
    describe,
    log_event,
    logs_routine,
)
from authsrv.audit.records import (
    AbandonedEvent,
    AdmissionBasis,
    AdmittedEvent,
    AuditEvent,
    AuditSink,
    ChallengedEvent,
    ChallengeKind,
    ConnectionIdentityEndedEvent,
    ContinuedEvent,
    EstablishedEvent,
    LedEvent,
    RecalledEvent,
    RefusedEvent,
    Request,
    SignedInEvent,
    SignedOutEvent,
    SignInWay,
)

__all__ = [
    "AbandonedEvent",
    "AdmissionBasis",
    "AdmittedEvent",
    "AuditEvent",
    "AuditSink",
    "ChallengeKind",
    "ChallengedEvent",
    "ConnectionIdentityEndedEvent",
    "ContinuedEvent",
    "EstablishedEvent",
    "LedEvent",
    "RecalledEvent",
    "RefusedEvent",
    "Request",
    "SignInWay",
    "SignedInEvent",
    "SignedOutEvent",
    "describe",
    "log_event",
    "logs_routine",
]
