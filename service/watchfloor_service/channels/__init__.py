"""People's decisions as they come from chats and signed webhooks: who somebody is here, and what they may say there."""
