"""Ways to reach people about proposals that wait for them, and to hear back: Slack, Teams, signed webhooks, mail.

None carries authority. A yes is a signature over the proposal's digest, wherever it comes from; what a chat can say by
itself is no.
"""
