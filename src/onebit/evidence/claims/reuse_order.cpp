// How long a layer of bits takes on one core, plainly and in reuse order, where each vector holds one input of 512 examples: the
// form in which a processor can gain from fewer inputs. Reads a layer from argv[1], writes its output bits and the best time of each
// way to argv[2]. Built and run by mst_speed.py; no part of the engine.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace {

typedef std::uint64_t V __attribute__((vector_size(64)));
constexpr int levels = 20, planes = 16;

// low = the sum of three bits, high = its carry; b and c count inverted where Not.
template <bool Not>
inline void add(V& high, V& low, V a, V b, V c) {
#ifdef __AVX512F__
    const __m512i x = (__m512i)a, y = (__m512i)b, z = (__m512i)c;
    high = (V)_mm512_ternarylogic_epi64(x, y, z, Not ? 0x71 : 0xE8);
    low = (V)_mm512_ternarylogic_epi64(x, y, z, 0x96);
#else
    const V y = Not ? ~b : b, z = Not ? ~c : c;
    high = (a & (y | z)) | (y & z);
    low = a ^ b ^ c;
#endif
}

struct Count {
    V sum[levels] = {}, waiting[levels] = {};
    unsigned blocks = 0;

    // Sixteen inputs.
    template <bool Not>
    void block(const V* x, const std::uint16_t* at) {
        V twos[2], fours[2], eights[2], carry;
        for (int e = 0; e < 2; ++e) {
            for (int f = 0; f < 2; ++f) {
                for (int t = 0; t < 2; ++t, at += 2) add<Not>(twos[t], sum[0], sum[0], x[at[0]], x[at[1]]);
                add<false>(fours[f], sum[1], sum[1], twos[0], twos[1]);
            }
            add<false>(eights[e], sum[2], sum[2], fours[0], fours[1]);
        }
        add<false>(carry, sum[3], sum[3], eights[0], eights[1]);
        int level = 4;
        for (unsigned rest = blocks++; rest & 1; rest >>= 1, ++level) {
            const V arrived = carry;
            add<false>(carry, sum[level], sum[level], waiting[level], arrived);
        }
        waiting[level] = carry;
    }

    void finish() {
        for (int level = 4; blocks >> (level - 4); ++level) {
            if (!(blocks >> (level - 4) & 1)) continue;
            V carry = waiting[level];
            for (int i = level; i < planes; ++i) {
                const V both = sum[i] & carry;
                sum[i] ^= carry;
                carry = both;
            }
        }
    }
};

struct Kernel {
    std::vector<std::uint16_t> plus, minus;  // inputs, filled up to blocks of sixteen
    int parent = -1;
    std::int32_t limit = 0;
};

using Planes = V[planes];

void run(const std::vector<Kernel>& kernels, const std::vector<int>& order, const V* x, Planes* sums, V* out) {
    for (const int j : order) {
        const Kernel& kernel = kernels[j];
        Count count;
        for (std::size_t i = 0; i < kernel.plus.size(); i += 16) count.block<false>(x, kernel.plus.data() + i);
        for (std::size_t i = 0; i < kernel.minus.size(); i += 16) count.block<true>(x, kernel.minus.data() + i);
        count.finish();
        V* sum = sums[j];
        if (kernel.parent < 0) {
            for (int i = 0; i < planes; ++i) sum[i] = count.sum[i];
        } else {
            const V* from = sums[kernel.parent];
            V carry = {};
            sum[0] = from[0];
            for (int i = 1; i < planes; ++i) {
                V next;
                add<false>(next, sum[i], carry, from[i], count.sum[i - 1]);
                carry = next;
            }
        }
        V reached = ~V{};
        for (int i = 0; i < planes; ++i) reached = kernel.limit >> i & 1 ? sum[i] & reached : sum[i] | reached;
        out[j] = reached;
    }
}

template <class T>
std::vector<T> read(std::FILE* file, std::size_t count) {
    std::vector<T> values(count);
    if (std::fread(values.data(), sizeof(T), count, file) != count) std::exit(2);
    return values;
}

}  // namespace

int main(int, char** argv) {
    std::FILE* file = std::fopen(argv[1], "rb");
    const auto head = read<std::int32_t>(file, 4);
    const int channels = head[0], entries = head[1], blocks = head[2], repeats = head[3];
    const auto bits = read<std::uint8_t>(file, std::size_t(channels) * entries);
    const auto parents = read<std::int32_t>(file, channels), order = read<std::int32_t>(file, channels), limits = read<std::int32_t>(file, channels);
    const std::size_t stride = entries + 2;  // a plane of zeros and one of ones, to fill up with
    auto* x = static_cast<V*>(std::aligned_alloc(64, sizeof(V) * stride * blocks));
    for (int b = 0; b < blocks; ++b) {
        if (std::fread(x + b * stride, sizeof(V), entries, file) != std::size_t(entries)) return 2;
        x[b * stride + entries] = V{};
        x[b * stride + entries + 1] = ~V{};
    }
    std::fclose(file);
    std::vector<Kernel> plain(channels), reused(channels);
    std::vector<std::int32_t> passed(channels, 0);
    std::vector<int> natural(channels), tree(order.begin(), order.end());
    for (int j = 0; j < channels; ++j) natural[j] = j;
    for (const int j : tree) {
        const std::uint8_t* own = &bits[std::size_t(j) * entries];
        const std::uint8_t* other = parents[j] < 0 ? nullptr : &bits[std::size_t(parents[j]) * entries];
        int differ = 0;
        for (int k = 0; k < entries; ++k) {
            (own[k] ? plain[j].plus : plain[j].minus).push_back(k);
            if (other == nullptr || own[k] != other[k]) (own[k] ? reused[j].plus : reused[j].minus).push_back(k), ++differ;
        }
        for (auto* kernel : {&plain[j], &reused[j]}) {
            while (kernel->plus.size() % 16) kernel->plus.push_back(entries);
            while (kernel->minus.size() % 16) kernel->minus.push_back(entries + 1);
        }
        // p_j = p_i + 2 q - d: the d are taken from the limit
        passed[j] = other == nullptr ? 0 : passed[parents[j]] + differ;
        plain[j].limit = limits[j];
        reused[j].limit = limits[j] + passed[j];
        reused[j].parent = parents[j];
    }
    auto* sums = static_cast<Planes*>(std::aligned_alloc(64, sizeof(Planes) * channels));
    auto* out = static_cast<V*>(std::aligned_alloc(64, sizeof(V) * channels * blocks * 2));
    double best[2] = {1e9, 1e9};
    for (int repeat = 0; repeat < repeats; ++repeat) {
        for (int way = 0; way < 2; ++way) {
            const auto begin = std::chrono::steady_clock::now();
            for (int b = 0; b < blocks; ++b) run(way ? reused : plain, way ? tree : natural, x + b * stride, sums, out + (std::size_t(way) * blocks + b) * channels);
            const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
            if (seconds < best[way]) best[way] = seconds;
        }
    }
    file = std::fopen(argv[2], "wb");
    std::fwrite(best, sizeof best, 1, file);
    std::fwrite(out, sizeof(V), std::size_t(channels) * blocks * 2, file);
    return std::fclose(file);
}
