"""The length-limit study (paper, section 2): does the longest training output limit how long a model writes?"""
