"""The pure core: a snapshot goes in, a list of actions and the reasons for them come out."""
