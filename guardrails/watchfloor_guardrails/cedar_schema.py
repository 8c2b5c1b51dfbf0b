"""The Cedar schema that an operator's policies are checked against: every name and type that a policy may use.

It is text here, and not a file beside, because a policy is checked without reading anything. ``watchfloor policy
schema`` prints it for editors.
"""

from __future__ import annotations

from typing import Final

from watchfloor_guardrails.catalogue import CATALOGUE

_TYPES: Final = """\
// What a Watchfloor policy may name. Every number is a whole one.

// A group of assets, as the inventory names it.
entity Group;

// Who proposes. principal == Proposer::"<name>"
entity Proposer {
  kind: String,            // "agent", "service" or "person"
  name: String,
};

// What the action is done to. resource == Target::"<kind> <value>", resource in Group::"<group>"
entity Target in [Group] {
  kind: String,            // "ip", "user", "process", "file", "filter"
  value: String,
  tier: Long,              // 0 (crown jewel) to 3; unknown assets are 2
  address?: ipaddr,        // of kind "ip"; an IPv4 address in IPv6 form is given as IPv4
};

type Situation = {
  tenant: String,
  function: String,        // "incident_response"; "threat_detection" for filters of rules
  tool: String,
  level: Long,             // autonomy in force, 0 to 4, after every cap
  asset_tier: Long,        // the most critical that the action touches
  in_inventory: Bool,      // the target is one of ours
  blast_assets: Long,      // assets that it touches
  blast_users: Long,       // accounts that it touches
  is_reversible: Bool,
  is_tainted: Bool,        // an attacker could have written target or arguments, and nobody has vouched for it
  is_undo: Bool,           // it takes back what was decided on before
  lease_s?: Long,          // seconds until it is undone; absent where it does not end by itself
  alert_family: String,
  severity: Long,          // of the incident: 1 informational to 6 fatal; 99 is a vendor's own
  hour_utc: Long,          // 0 to 23
  weekday_utc: Long,       // 1 (Monday) to 7
};

"""

_ACTIONS: Final = "action {}\n  appliesTo {{ principal: Proposer, resource: Target, context: Situation }};\n"

SCHEMA: Final = _TYPES + _ACTIONS.format(", ".join(f'"{name}"' for name in CATALOGUE))
"""In Cedar's schema syntax (https://docs.cedarpolicy.com/schema/human-readable-schema.html)."""
