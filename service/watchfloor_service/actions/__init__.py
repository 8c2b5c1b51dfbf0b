"""Actions and approvals as people read them: what waits, what was decided and what came of it."""
