/* What a decode step does besides its matrix products, for float32 on a CPU and one thread.

   Every row is computed by itself, in an order that depends on nothing but the row: what others there are
   beside it cannot change a bit of it. Compiled on first use by hf_native.py, where there is a compiler. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES 8
#define BLOCK 128

typedef float lanes __attribute__((vector_size(4 * LANES)));

static inline lanes load(const float *from) {
    lanes all;
    memcpy(&all, from, sizeof all);
    return all;
}

static inline void store(float *to, lanes all) { memcpy(to, &all, sizeof all); }

static inline float sum(lanes all) {
    return ((all[0] + all[4]) + (all[1] + all[5])) + ((all[2] + all[6]) + (all[3] + all[7]));
}

/* e^x to two units of rounding (the polynomial of Cephes' expf), in a form that compilers vectorise; zero where
   it is next to nothing. */
static inline float exponential(float x) {
    const float magic = 12582912.0f; /* adding it rounds to a whole number */
    int32_t some = x >= -87.0f;
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float whole = (x * 1.44269504f + magic) - magic;
    float rest = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
    float series = 1.9875691500e-4f;
    series = series * rest + 1.3981999507e-3f;
    series = series * rest + 8.3334519073e-3f;
    series = series * rest + 4.1665795894e-2f;
    series = series * rest + 1.6666665459e-1f;
    series = series * rest + 5.0000001201e-1f;
    series = series * rest * rest + rest + 1.0f;
    int32_t bits = ((int32_t)whole + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return some ? series * power : 0.0f;
}

/* hidden += more, if there is any; to = root mean square norm of hidden. All but weight are [rows, width]; width is
   a multiple of LANES. */
void norm(float *hidden, const float *more, const float *weight, float epsilon, float *to, int64_t rows,
          int64_t width) {
    for (int64_t row = 0; row < rows; row++, hidden += width, to += width) {
        if (more) {
            for (int64_t i = 0; i < width; i++) hidden[i] += more[i];
            more += width;
        }
        lanes squares = {0};
        for (int64_t i = 0; i < width; i += LANES) {
            lanes some = load(hidden + i);
            squares += some * some;
        }
        float scale = 1.0f / sqrtf(sum(squares) / (float)width + epsilon);
        for (int64_t i = 0; i < width; i++) to[i] = weight[i] * (hidden[i] * scale);
    }
}

/* gate = silu(gate) * up, number by number. */
void gated(float *gate, const float *up, int64_t count) {
    for (int64_t i = 0; i < count; i++) gate[i] = gate[i] / (1.0f + exponential(-gate[i])) * up[i];
}

/* Keys and values of one layer: rows, and prompts that rows share. */
struct layer {
    float *keys, *values; /* [rows, groups, columns, width] */
    int64_t columns;
    const float *told_keys, *told_values; /* [prompts, groups, told_columns, width] */
    int64_t told_columns;
};

/* Where the rows of a step stand. */
struct place {
    const float *cosines, *sines; /* [positions, width]; the first half of the sines has its sign changed */
    const int64_t *positions;     /* [rows] */
    const int64_t *born;          /* [rows]: a row's first column */
    int64_t column;               /* where this step's tokens are kept */
    const int64_t *prompts;       /* [rows]: places of their prompts; */
    const int64_t *lengths;       /* [rows]: how many of those's columns are attended to */
    int64_t rows, heads, groups, width;
    float *scores; /* room for as many numbers as a row attends to */
};

static inline void turn(const float *from, const float *cosines, const float *sines, float scale, float *to,
                        int64_t width) {
    int64_t half = width / 2;
    for (int64_t i = 0; i < half; i++) {
        to[i] = (from[i] * cosines[i] + from[i + half] * sines[i]) * scale;
        to[i + half] = (from[i + half] * cosines[i + half] + from[i] * sines[i + half]) * scale;
    }
}

static inline __attribute__((always_inline)) float match(const float *query, const float *keys, int64_t count,
                                                         float *scores, float most, const int64_t width) {
    for (int64_t n = 0; n < count; n++, keys += width) {
        lanes products = {0};
        for (int64_t i = 0; i < width; i += LANES) products += load(query + i) * load(keys + i);
        scores[n] = sum(products);
        most = scores[n] > most ? scores[n] : most;
    }
    return most;
}

/* e^(score - most) in place; their sum. */
static inline float weigh(float *scores, int64_t count, float most) {
    lanes sums = {0};
    float total = 0;
    int64_t n = 0;
    for (n = 0; n < count; n++) scores[n] = exponential(scores[n] - most);
    for (n = 0; n + LANES <= count; n += LANES) sums += load(scores + n);
    for (; n < count; n++) total += scores[n];
    return total + sum(sums);
}

static inline __attribute__((always_inline)) void gather(const float *weights, const float *values, int64_t count,
                                                         float *to, const int64_t width) {
    lanes whole[width / LANES];
    memcpy(whole, to, 4 * width);
    for (int64_t n = 0; n < count; n++, values += width)
        for (int64_t i = 0; i < width / LANES; i++) whole[i] += weights[n] * load(values + LANES * i);
    memcpy(to, whole, 4 * width);
}

static inline __attribute__((always_inline)) void attend_to(const float *queries, const float *keys,
                                                            const float *values, float scale,
                                                            const struct layer *layer, const struct place *at,
                                                            float *told, const int64_t width) {
    int64_t share = at->heads / at->groups;
    for (int64_t row = 0; row < at->rows; row++) {
        const float *cosines = at->cosines + at->positions[row] * width;
        const float *sines = at->sines + at->positions[row] * width;
        int64_t before = at->lengths[row], own = at->column + 1 - at->born[row], all = before + own;
        for (int64_t group = 0; group < at->groups; group++) {
            int64_t here = ((row * at->groups + group) * layer->columns + at->born[row]) * width;
            int64_t there = (at->prompts[row] * at->groups + group) * layer->told_columns * width;
            int64_t kept = here + (own - 1) * width, given = (row * at->groups + group) * width;
            turn(keys + given, cosines, sines, 1.0f, layer->keys + kept, width);
            memcpy(layer->values + kept, values + given, 4 * width);
            for (int64_t head = group * share; head < (group + 1) * share; head++) {
                float query[width], *to = told + (row * at->heads + head) * width, most = -INFINITY;
                turn(queries + (row * at->heads + head) * width, cosines, sines, scale, query, width);
                most = match(query, layer->told_keys + there, before, at->scores, most, width);
                most = match(query, layer->keys + here, own, at->scores + before, most, width);
                float total = weigh(at->scores, all, most);
                memset(to, 0, 4 * width);
                gather(at->scores, layer->told_values + there, before, to, width);
                gather(at->scores + before, layer->values + here, own, to, width);
                for (int64_t i = 0; i < width; i++) to[i] /= total;
            }
        }
    }
}

/* Turn queries [rows, heads, width] and keys [rows, groups, width] by their positions, keep keys and values, and
   attend to all that each row may see: told [rows, heads, width]. width is a multiple of LANES. */
void attend(const float *queries, const float *keys, const float *values, float scale, const struct layer *layer,
            const struct place *at, float *told) {
    switch (at->width) {
    case 32: attend_to(queries, keys, values, scale, layer, at, told, 32); break;
    case 64: attend_to(queries, keys, values, scale, layer, at, told, 64); break;
    case 128: attend_to(queries, keys, values, scale, layer, at, told, 128); break;
    default: attend_to(queries, keys, values, scale, layer, at, told, at->width);
    }
}

/* Rows of [rows, width] times share [width], divided by their largest magnitudes, which are told: for int8. */
void level(const float *from, const float *share, float smallest, float *to, float *largest, int64_t rows,
           int64_t width) {
    for (int64_t row = 0; row < rows; row++, from += width, to += width) {
        float most[LANES];
        for (int i = 0; i < LANES; i++) most[i] = smallest;
        for (int64_t i = 0; i < width; i++) to[i] = from[i] * share[i];
        for (int64_t n = 0; n + LANES <= width; n += LANES)
            for (int i = 0; i < LANES; i++) most[i] = fabsf(to[n + i]) > most[i] ? fabsf(to[n + i]) : most[i];
        for (int64_t n = width / LANES * LANES; n < width; n++) most[0] = fabsf(to[n]) > most[0] ? fabsf(to[n]) : most[0];
        for (int i = 1; i < LANES; i++) most[0] = most[i] > most[0] ? most[i] : most[0];
        largest[row] = most[0];
        for (int64_t i = 0; i < width; i++) to[i] /= most[0];
    }
}

/* A token of every row by the inverse of its distribution function, and its log-probability. logits and weights:
   [rows, width]; uniforms: [rows], below 1; sums: room for one of every block. No token of zero weight is drawn. */
void draw(const float *logits, const float *uniforms, float temperature, int64_t rows, int64_t width, float *weights,
          double *sums, int64_t *tokens, float *logprobs) {
    for (int64_t row = 0; row < rows; row++, logits += width) {
        float most = -INFINITY;
        double total = 0, before = 0;
        for (int64_t i = 0; i < width; i++) most = logits[i] > most ? logits[i] : most;
        for (int64_t i = 0; i < width; i++) weights[i] = (logits[i] - most) / temperature;
        for (int64_t at = 0; at < width; at += BLOCK)
            total += sums[at / BLOCK] = weigh(weights + at, width - at < BLOCK ? width - at : BLOCK, 0.0f);
        double share = total * uniforms[row];
        int64_t at = 0;
        while (at + BLOCK < width && before + sums[at / BLOCK] <= share) before += sums[at / BLOCK], at += BLOCK;
        int64_t chosen = at, end = width - at < BLOCK ? width : at + BLOCK;
        for (; at < end; at++) {
            if (weights[at] <= 0) continue;
            chosen = at;
            if ((before += weights[at]) > share) break;
        }
        tokens[row] = chosen;
        logprobs[row] = (float)log(weights[chosen] / total);
    }
}
