/* Gradient descent on the mean of (a x + b - y)^2 over n points. */
void line(double *p, const double *x, const double *y, long n, long steps, double rate) {
    double a = p[0], b = p[1];
    for (long step = 0; step < steps; step++) {
        double da = 0, db = 0;
        for (long i = 0; i < n; i++) {
            double e = a * x[i] + b - y[i];
            da += e * x[i];
            db += e;
        }
        a -= 2 * rate / n * da;
        b -= 2 * rate / n * db;
    }
    p[0] = a;
    p[1] = b;
}
