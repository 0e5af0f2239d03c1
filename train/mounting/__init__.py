"""How a fixed camera hangs, told from the people in its pictures: no label and no chequerboard."""
