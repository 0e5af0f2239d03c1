layout(location = 0) out float o_covered;
void main() { o_covered = 1.0; }
