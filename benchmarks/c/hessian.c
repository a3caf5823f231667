/* The Hessian of (x.x)^2/4 + exp(-x.x/10) + sin(c.x) + sum cos(x_i) at so many rows of 10. */
#include <math.h>

enum { N = 10 };

void hessian(double *out, const double *x, const double *c, long rows) {
    for (long row = 0; row < rows; row++) {
        const double *u = x + row * N;
        double *h = out + row * N * N, square = 0, dot = 0;
        for (int i = 0; i < N; i++) square += u[i] * u[i];
        for (int i = 0; i < N; i++) dot += c[i] * u[i];
        double e = exp(-square / 10), s = -sin(dot), a = 2 + e / 25, d = square - e / 5;
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) h[i * N + j] = a * u[i] * u[j] + s * c[i] * c[j];
        for (int i = 0; i < N; i++) h[i * N + i] += d - cos(u[i]);
    }
}
