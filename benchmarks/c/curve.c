/* Gradient descent on the mean squared error of a cubic over a cubic, 7 parameters. */
void curve(double *p, const double *x, const double *y, long n, long steps, double rate) {
    for (long step = 0; step < steps; step++) {
        double d0 = 0, d1 = 0, d2 = 0, d3 = 0, d4 = 0, d5 = 0, d6 = 0;
        double p0 = p[0], p1 = p[1], p2 = p[2], p3 = p[3], p4 = p[4], p5 = p[5], p6 = p[6];
        for (long i = 0; i < n; i++) {
            double u = x[i], uu = u * u, uuu = uu * u;
            double r = 1 / (1 + u * (p4 + u * (p5 + u * p6)));
            double f = (p0 + u * (p1 + u * (p2 + u * p3))) * r;
            double w = (f - y[i]) * r, v = w * f;
            d0 += w;
            d1 += w * u;
            d2 += w * uu;
            d3 += w * uuu;
            d4 -= v * u;
            d5 -= v * uu;
            d6 -= v * uuu;
        }
        double s = 2 * rate / n;
        p[0] -= s * d0;
        p[1] -= s * d1;
        p[2] -= s * d2;
        p[3] -= s * d3;
        p[4] -= s * d4;
        p[5] -= s * d5;
        p[6] -= s * d6;
    }
}
