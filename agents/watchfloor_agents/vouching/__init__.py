"""Label endorsers of others: who may vouch for a value that an attacker could have written, and how one is asked."""
