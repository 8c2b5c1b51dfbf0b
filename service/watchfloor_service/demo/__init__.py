"""The scenario that ships: two days of a small organisation, as its sensors wrote them down."""
