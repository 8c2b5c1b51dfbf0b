"""Identity and cloud sign-in: accounts that are guessed, taken over or used from where they never are.

Knowledge: https://attack.mitre.org/techniques/T1110/, T1078, T1098, T1526; Windows' status codes of failed
logons; the API names of AWS CloudTrail.
"""

from __future__ import annotations

from typing import Final

from watchfloor_agents.investigation.analysers.indicator import (
    Indicator,
    ends,
    equals,
    exists,
    types,
)
from watchfloor_core.alert import EntityKind
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field
from watchfloor_core.report import Scope

IDENTITY: Final = (
    Indicator(
        code="logon_failed",
        title="A logon failed",
        techniques=("T1110",),
        types=types(EventType.LOGON_FAILED),
        where=exists(Field.USER_NAME),
        cite=(Field.USER_NAME, Field.SOURCE_IP, Field.ERROR_CODE),
        log_odds=0.4,
        scope=Scope.TARGETED,
        source=(EntityKind.IP, Field.SOURCE_IP),
    ),
    Indicator(
        code="cloud_permissions_changed",
        title="Permissions or keys of a cloud account were changed",
        techniques=("T1098",),
        types=types(EventType.CLOUD_API),
        where=equals(
            Field.EVENT_ACTION,
            "CreateAccessKey",
            "CreateUser",
            "AttachUserPolicy",
            "PutUserPolicy",
            "CreateLoginProfile",
            "UpdateLoginProfile",
            "AddUserToGroup",
            "CreatePolicyVersion",
            "UpdateAssumeRolePolicy",
        ),
        cite=(Field.EVENT_ACTION, Field.USER_ID, Field.SOURCE_IP),
        log_odds=1.2,
        source=(EntityKind.IP, Field.SOURCE_IP),
    ),
    Indicator(
        code="cloud_audit_stopped",
        title="The audit of a cloud account was stopped or changed",
        techniques=("T1562.008",),
        types=types(EventType.CLOUD_API),
        where=equals(
            Field.EVENT_ACTION,
            "StopLogging",
            "DeleteTrail",
            "UpdateTrail",
            "PutEventSelectors",
            "DeleteDetector",
            "DeleteFlowLogs",
        ),
        cite=(Field.EVENT_ACTION, Field.USER_ID, Field.SOURCE_IP),
        log_odds=2.5,
        source=(EntityKind.IP, Field.SOURCE_IP),
    ),
    Indicator(
        code="cloud_secret_read",
        title="Secrets of a cloud account were read",
        techniques=("T1555.006",),
        types=types(EventType.CLOUD_API),
        where=equals(Field.EVENT_ACTION, "GetSecretValue", "GetPasswordData", "GetParametersByPath"),
        cite=(Field.EVENT_ACTION, Field.USER_ID, Field.SOURCE_IP),
        log_odds=0.8,
        source=(EntityKind.IP, Field.SOURCE_IP),
    ),
    Indicator(
        code="root_sign_in",
        title="The root account of a cloud account signed in",
        techniques=("T1078.004",),
        types=types(EventType.SIGN_IN),
        where=ends(Field.USER_ID, ":root"),
        cite=(Field.USER_ID, Field.SOURCE_IP, Field.EVENT_OUTCOME),
        log_odds=1.5,
        source=(EntityKind.IP, Field.SOURCE_IP),
    ),
)
