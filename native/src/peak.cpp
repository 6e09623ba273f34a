#include "peak.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

#include "cpu.hpp"
#include "tensor.hpp"

namespace onebit {

double peak(std::string_view isa, std::string_view arithmetic, double seconds) {
    const kernel::Table& table = *choose_isa(isa).table;
    using kernel::Arithmetic;
    Arithmetic kind = Arithmetic::bits;
    int channels_of_word = 32;
    if (arithmetic == "integers") {
        kind = table.integers;
        channels_of_word = kind == Arithmetic::bytes ? 4 : 2;
    } else if (arithmetic == "floats") {
        kind = Arithmetic::floats;
        channels_of_word = 1;
    } else if (arithmetic != "bits") {
        throw std::invalid_argument("arithmetic must be bits, integers or floats, got '" + std::string(arithmetic) + "'");
    }
    // 60 pixels (a multiple of every register tile) times one tile of output channels, 64 words each: 16 + 15 KiB.
    constexpr std::int64_t pixels = 60, words = 64;
    const std::int64_t width = std::int64_t{table.lanes} * table.vectors;
    const Buffer weights = allocate(static_cast<std::size_t>(words * width * 4)), input = allocate(pixels * words * 4),
                 bases = allocate(static_cast<std::size_t>(width * 4));
    std::memset(weights.get(), 0, static_cast<std::size_t>(words * width * 4));
    std::memset(input.get(), 0, pixels * words * 4);
    std::memset(bases.get(), 0, static_cast<std::size_t>(width * 4));

    kernel::Job job;
    job.weights = reinterpret_cast<const std::uint32_t*>(weights.get());
    job.input = input.get();
    job.bases = reinterpret_cast<const std::int32_t*>(bases.get());
    job.row_bytes = words * 4;
    job.words = words;
    job.group_channels = width;
    job.images = 1;
    job.pixels = pixels;
    const std::int64_t items = table.items(job, kind);
    constexpr int repeats = 10;
    const auto macs = static_cast<double>(repeats * pixels * words * width * channels_of_word);

    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    double best = 0;
    do {
        const auto before = Clock::now();
        for (int i = 0; i < repeats; ++i) table.run(job, kind, 0, items);
        best = std::max(best, macs / std::chrono::duration<double>(Clock::now() - before).count());
    } while (std::chrono::duration<double>(Clock::now() - start).count() < seconds);
    return best;
}

double clock(double seconds) {
#if defined(__x86_64__) || defined(__aarch64__)
    // Each addition waits for the one before it, and an addition of two registers takes one cycle on every such processor.
    constexpr int blocks = 2000, additions = 64;
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    double best = 0;
    do {
        std::uint64_t sum = 0;
        const std::uint64_t one = 1;
        const auto before = Clock::now();
        for (int i = 0; i < blocks; ++i) {
#if defined(__x86_64__)
            __asm__ volatile(".rept 64\n\taddq %1, %0\n\t.endr" : "+r"(sum) : "r"(one) : "cc");
#else
            __asm__ volatile(".rept 64\n\tadd %0, %0, %1\n\t.endr" : "+r"(sum) : "r"(one));
#endif
        }
        const double taken = std::chrono::duration<double>(Clock::now() - before).count();
        if (sum == std::uint64_t{blocks} * additions) best = std::max(best, static_cast<double>(sum) / taken);
    } while (std::chrono::duration<double>(Clock::now() - start).count() < seconds);
    return best;
#else
    static_cast<void>(seconds);
    return 0;
#endif
}

}  // namespace onebit
