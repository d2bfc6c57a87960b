"""The length-limit study (paper, section 2): does the longest text that a model was trained on decide how long it writes?"""
