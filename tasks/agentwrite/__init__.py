"""AgentWrite (paper, section 3.1): plan the paragraphs with their word counts, then write them one by one."""
