"""Views of the same task for other kinds of agent."""
