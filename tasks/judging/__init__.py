"""What judges say of answers: asked, read strictly, compared with what they said before and with each other."""
