/* Logistic regression with 10 features: shuffled batches of at most 64, plain steps. p: 10 weights and the bias. */
#include <math.h>

enum { FEATURES = 10, MOST = 64 };

void logistic(double *p, const double *x, const double *y, const long *orders, long n, long epochs, long size,
              double rate) {
    for (long epoch = 0; epoch < epochs; epoch++) {
        const long *order = orders + epoch * n;
        for (long begin = 0; begin < n; begin += size) {
            long count = n - begin < size ? n - begin : size;
            double columns[FEATURES][MOST], z[MOST], slope[FEATURES], bias = 0;
            for (long e = 0; e < count; e++)
                for (long f = 0; f < FEATURES; f++) columns[f][e] = x[order[begin + e] * FEATURES + f];
            for (long e = 0; e < count; e++) z[e] = p[FEATURES];
            for (long f = 0; f < FEATURES; f++)
                for (long e = 0; e < count; e++) z[e] += p[f] * columns[f][e];
            for (long e = 0; e < count; e++) z[e] = 1 / (1 + exp(-z[e]));
            for (long e = 0; e < count; e++) z[e] -= y[order[begin + e]];
            for (long e = 0; e < count; e++) bias += z[e];
            for (long f = 0; f < FEATURES; f++) {
                double sum = 0;
                for (long e = 0; e < count; e++) sum += z[e] * columns[f][e];
                slope[f] = sum;
            }
            for (long f = 0; f < FEATURES; f++) p[f] -= rate / count * slope[f];
            p[FEATURES] -= rate / count * bias;
        }
    }
}
