"""What ``watchfloor policy init`` writes beside the shipped matrix and limits: an example to be changed."""

from __future__ import annotations

from typing import Final

CEDAR: Final = """\
// What the agents and playbooks must not do here, and what takes more people. A policy can only forbid or demand more:
//
//   @effect("deny")   nobody is asked, it does not happen (the default)
//   @effect("ask")    a person decides; @quorum("2") takes two, @roles("lead") a lead
//
// `watchfloor policy schema` prints every name that a policy may use.

@id("never-block-our-resolvers")
@reason("Without the resolvers nothing works; call the network team.")
forbid (principal, action == Action::"deny ip", resource in Group::"resolvers");

@id("never-block-private-networks")
@reason("Inside addresses are dealt with at the host.")
forbid (principal, action == Action::"deny ip", resource)
when { resource has address && resource.address.isInRange(ip("10.0.0.0/8")) };

@id("two-leads-on-admins")
@effect("ask")
@quorum("2")
@roles("lead")
@reason("An administrator who is locked out cannot help.")
forbid (principal, action == Action::"disable user", resource)
when { resource.tier <= 1 };

@id("people-decide-at-night")
@effect("ask")
@reason("Nobody would notice a mistake before the morning.")
forbid (principal, action, resource)
when { !context.is_undo && (context.hour_utc < 6 || context.hour_utc >= 20) };
"""

TESTS: Final = """\
# Examples that hold the policy to what was meant; `watchfloor policy check` runs them.

tests:
  - name: an outside address may be blocked by day, if the level and the invariants allow it
    request: {action_class: deny ip, target: 203.0.113.7}
    expect: {effect: allow, level: L2, quorum: 1}

  - name: a resolver is never blocked
    request: {action_class: deny ip, target: 192.0.2.53, groups: [resolvers]}
    expect: {effect: deny, hits: [never-block-our-resolvers]}

  - name: an inside address is never blocked
    request: {action_class: deny ip, target: 10.1.2.3}
    expect: {effect: deny, hits: [never-block-private-networks]}

  - name: two leads decide on an administrator
    request: {action_class: disable user, target: root, asset_tier: 1}
    expect: {effect: ask, hits: [two-leads-on-admins], quorum: 2}

  - name: at night a person decides
    request: {action_class: stop process, target: 4711@1, at: "2027-03-01T23:00:00Z"}
    expect: {effect: ask, hits: [people-decide-at-night]}

  - name: what was contained may be let go at night too
    request: {action_class: allow ip, target: 203.0.113.7, is_undo: true, at: "2027-03-01T23:00:00Z"}
    expect: {effect: allow, hits: []}
"""
