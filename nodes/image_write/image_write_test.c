/* image.write: files read back by libpng and compared by value, numbering, contact sheets, slow
 * readers, full disks, and what it refuses. */
#include <fcntl.h>
#include <math.h>
#include <png.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "../video_test.h"

#include "base/alloc.h"

static char folder[] = "/tmp/image_write_test_XXXXXX";

static const char *path_of(const char *name)
{
    static char path[4][256];
    static unsigned turn;
    char *to = path[turn++ % 4];
    snprintf(to, sizeof path[0], "%s/%s", folder, name);
    return to;
}

static rm_harness *writer_of(const char *name, const char *more)
{
    char params[512];
    snprintf(params, sizeof params, "{\"path\": \"%s\"%s}", path_of(name), more);
    return harness_of("image.write", params);
}

static bool is_there(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

/* What libpng reads from a file, as R G B A. */
typedef struct reading {
    int width, height;
    uint8_t *rgba;
} reading;

static reading read_png(const char *name)
{
    png_image png = {.version = PNG_IMAGE_VERSION};
    reading r = {0, 0, NULL};
    if (!png_image_begin_read_from_file(&png, path_of(name))) {
        RMI_TEST_FAIL("%s: %s", name, png.message);
        return r;
    }
    png.format = PNG_FORMAT_RGBA;
    r = (reading){(int)png.width, (int)png.height, rmi_calloc(1, PNG_IMAGE_SIZE(png))};
    CHECK(png_image_finish_read(&png, NULL, r.rgba, 0, NULL));
    CHECK_INT(unlink(path_of(name)), 0);
    return r;
}

/* How many components of the pixels differ from what is wanted by more than the tolerance. */
static int reading_off(const reading *r, int x0, int y0, int x1, int y1, const uint8_t want[4],
                       int tolerance)
{
    int off = 0;
    for (int y = y0; r->rgba && y < y1; y++) {
        for (int x = x0; x < x1; x++) {
            for (int c = 0; c < 4; c++) {
                off += abs(r->rgba[(y * r->width + x) * 4 + c] - want[c]) > tolerance;
            }
        }
    }
    return r->rgba ? off : -1;
}

static void push(rm_harness *harness, rm_packet *packet)
{
    CHECK_INT(rm_harness_push(harness, 0, packet), RM_OK);
    (void)run_well(harness);
}

/* What does not get shorter when it is packed. */
static uint8_t noise(uint32_t at)
{
    at = (at ^ 61) ^ (at >> 16);
    at *= 0x27d4eb2du;
    return (uint8_t)(at ^ (at >> 15));
}

/* A grey picture whose level says its number. */
static void push_number(rm_harness *harness, int width, int height, int number)
{
    rm_packet *packet = picture_new(harness, RM_FOURCC_GRAY8, width, height);
    picture_fill(packet, (const uint8_t[4]){(uint8_t)(number + 1)});
    packet->header.pts_ns = (int64_t)number * 40000000;
    push(harness, packet);
}

static void finish(rm_harness *harness)
{
    rm_harness_end(harness, 0);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
}

TEST(pixels_are_read_back_as_they_were)
{
    static const uint32_t layouts[] = {RM_FOURCC_RGB24, RM_FOURCC_RGBA, RM_FOURCC_GRAY8};
    for (size_t i = 0; i < RMI_COUNT(layouts); i++) {
        rm_harness *harness = writer_of("a.png", "");
        rm_packet *packet = picture_new(harness, layouts[i], 37, 19);
        picture view = video_picture(packet);
        int rows = 0, bytes = 1, wrong = 0;
        CHECK(video_plane(layouts[i], 37, 19, 0, &rows, &bytes));
        for (int at = 0; at < rows * bytes; at++) {
            view.plane[0][at / bytes * view.stride[0] + at % bytes] = (uint8_t)(at * 11 + at / 97);
        }
        rm_packet_ref(packet);
        push(harness, packet);
        reading r = read_png("a.png");
        CHECK_INT(r.width, 37);
        CHECK_INT(r.height, 19);
        for (int at = 0; r.rgba && at < 37 * 19; at++) {
            bool has_alpha = layouts[i] == RM_FOURCC_RGBA, is_grey = layouts[i] == RM_FOURCC_GRAY8;
            for (int c = 0; c < 3; c++) {
                wrong +=
                    r.rgba[at * 4 + c] != component_at(packet, at % 37, at / 37, is_grey ? 0 : c);
            }
            wrong +=
                r.rgba[at * 4 + 3] != (has_alpha ? component_at(packet, at % 37, at / 37, 3) : 255);
        }
        CHECK_INT(wrong, 0);
        rmi_free(r.rgba);
        rm_packet_unref(packet);
        rm_harness_free(harness);
    }
}

/* H.273 section 8.3. */
static void rgb_of(const uint8_t yuv[4], double kr, double kb, int range, uint8_t rgb[4])
{
    double y = range == 2 ? yuv[0] / 255.0 : (yuv[0] - 16) / 219.0;
    double u = (yuv[1] - 128) / (range == 2 ? 255.0 : 224.0);
    double v = (yuv[2] - 128) / (range == 2 ? 255.0 : 224.0);
    double r = y + 2 * (1 - kr) * v, b = y + 2 * (1 - kb) * u;
    double all[] = {r, (y - kr * r - kb * b) / (1 - kr - kb), b};
    for (int c = 0; c < 3; c++) {
        double value = floor(all[c] * 255 + 0.5);
        rgb[c] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
    rgb[3] = 255;
}

TEST(colours_follow_the_matrix_and_range_of_the_header)
{
    static const struct {
        int height;
        uint8_t matrix, range;
        double kr, kb;
    } rows[] = {
        {10, 6, 1, 0.299, 0.114},    {10, 5, 2, 0.299, 0.114},   {10, 1, 1, 0.2126, 0.0722},
        {10, 1, 2, 0.2126, 0.0722},  {10, 9, 1, 0.2627, 0.0593}, {10, 2, 0, 0.299, 0.114},
        {720, 0, 0, 0.2126, 0.0722},
    };
    static const uint8_t colours[][4] = {
        {81, 90, 240}, {145, 54, 34}, {41, 240, 110}, {16, 128, 128}};
    for (size_t i = 0; i < RMI_COUNT(rows) * RMI_COUNT(colours) * 2; i++) {
        int row = (int)i / 8;
        uint8_t want[4];
        rm_harness *harness = writer_of("b.png", "");
        rm_packet *packet =
            picture_new(harness, i & 1 ? RM_FOURCC_NV12 : RM_FOURCC_I420, 5, rows[row].height);
        packet->header.format.video.matrix = rows[row].matrix;
        packet->header.format.video.range = rows[row].range;
        picture_fill(packet, colours[i / 2 % 4]);
        rgb_of(colours[i / 2 % 4], rows[row].kr, rows[row].kb, rows[row].range, want);
        push(harness, packet);
        reading r = read_png("b.png");
        CHECK_INT(reading_off(&r, 0, 0, 5, rows[row].height, want, 1), 0);
        rmi_free(r.rgba);
        rm_harness_free(harness);
    }
}

TEST(a_turned_picture_is_written_upright)
{
    /* A 3 x 2 picture of numbered pixels; what must come for each quarter turn clockwise. */
    static const uint8_t want[4][6] = {
        {0, 1, 2, 3, 4, 5}, {3, 0, 4, 1, 5, 2}, {5, 4, 3, 2, 1, 0}, {2, 5, 1, 4, 0, 3}};
    for (int turns = 0; turns < 4; turns++) {
        rm_harness *harness = writer_of("c.png", "");
        rm_packet *packet = picture_new(harness, RM_FOURCC_GRAY8, 3, 2);
        for (int i = 0; i < 6; i++) {
            ((uint8_t *)packet->payload)[i / 3 * 64 + i % 3] = (uint8_t)(i * 40);
        }
        packet->header.format.video.rotation = (uint8_t)turns;
        push(harness, packet);
        reading r = read_png("c.png");
        CHECK_INT(r.width, turns & 1 ? 2 : 3);
        for (int i = 0; r.rgba && i < 6; i++) {
            CHECK_INT(r.rgba[i * 4], want[turns][i] * 40);
        }
        rmi_free(r.rgba);
        rm_harness_free(harness);
    }
}

TEST(one_file_takes_one_picture_and_no_more)
{
    rm_harness *harness = writer_of("d.png", "");
    push_number(harness, 8, 8, 41);
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
    reading r = read_png("d.png");
    CHECK_INT(reading_off(&r, 0, 0, 8, 8, (const uint8_t[4]){42, 42, 42, 255}, 0), 0);
    rmi_free(r.rgba);
}

TEST(numbered_files_take_each_or_every_third)
{
    static const struct {
        const char *name, *more;
        int files, step;
    } rows[] = {
        {"e-%d.png", "", 7, 1},
        {"e-%03d-x.png", ", \"every\": 3", 3, 3},
        {"e%4d", ", \"pictures\": 2", 2, 1},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        rm_harness *harness = writer_of(rows[i].name, rows[i].more);
        for (int n = 0; n < (i == 2 ? 2 : 7); n++) {
            push_number(harness, 4, 3, n);
        }
        if (i == 2) {
            CHECK_INT(run_well(harness), RM_DONE);
            rm_harness_free(harness);
        } else {
            finish(harness);
        }
        for (int file = 1; file <= rows[i].files + 1; file++) {
            char name[32];
            i == 0   ? snprintf(name, sizeof name, "e-%d.png", file)
            : i == 1 ? snprintf(name, sizeof name, "e-%03d-x.png", file)
                     : snprintf(name, sizeof name, "e%04d", file);
            CHECK_INT(is_there(name), file <= rows[i].files);
            if (file <= rows[i].files) {
                uint8_t level = (uint8_t)((file - 1) * rows[i].step + 1);
                reading r = read_png(name);
                CHECK_INT(
                    reading_off(&r, 0, 0, 4, 3, (const uint8_t[4]){level, level, level, 255}, 0),
                    0);
                rmi_free(r.rgba);
            }
        }
    }
}

/* Where the cell of an image begins: margin 24, gaps 16, a label of 7 lines below a gap of 7. */
static int cell_x(int column, int width)
{
    return 24 + column * (width + 16);
}

static int cell_y(int row, int height)
{
    return 24 + row * (height + 30);
}

static int level_at(const reading *r, int column, int row, int width, int height)
{
    int x = cell_x(column, width) + width / 2, y = cell_y(row, height) + height / 2;
    return r->rgba ? r->rgba[(y * r->width + x) * 4] : -1;
}

static void check_sheet(const char *more, int pictures, int columns, int rows, int step)
{
    rm_harness *harness = writer_of("f.png", more);
    for (int n = 0; n < pictures; n++) {
        push_number(harness, 60, 40, n);
    }
    finish(harness);
    reading r = read_png("f.png");
    CHECK_INT(r.width, 48 - 16 + columns * 76);
    CHECK_INT(r.height, 48 - 16 + rows * 70);
    int count = (pictures + step - 1) / step;
    for (int i = 0; i < columns * rows && i < count; i++) {
        int level = level_at(&r, i % columns, i / columns, 60, 40);
        CHECK_INT(level, (count > columns * rows ? i * count / (columns * rows) : i) * step + 1);
    }
    rmi_free(r.rgba);
}

TEST(a_sheet_shows_all_that_came_or_thins_it_out)
{
    check_sheet(", \"columns\": 3", 2, 2, 1, 1);
    check_sheet(", \"columns\": 3", 7, 3, 3, 1);
    check_sheet(", \"columns\": 3", 18, 3, 6, 1);
    check_sheet(", \"columns\": 3", 19, 3, 3, 2); /* 10 are left: the last of them has no row */
    check_sheet(", \"columns\": 4, \"pictures\": 8", 100, 4, 1, 16);
    check_sheet(", \"columns\": 5, \"every\": 10", 45, 5, 1, 10);
}

TEST(a_sheet_of_every_third_ends_when_it_is_full)
{
    rm_harness *harness = writer_of("g.png", ", \"columns\": 2, \"every\": 3, \"pictures\": 4");
    for (int n = 0; n < 10; n++) {
        push_number(harness, 60, 40, n);
    }
    CHECK_INT(run_well(harness), RM_DONE);
    rm_harness_free(harness);
    reading r = read_png("g.png");
    for (int i = 0; i < 4; i++) {
        CHECK_INT(level_at(&r, i % 2, i / 2, 60, 40), i * 3 + 1);
    }
    rmi_free(r.rgba);
}

TEST(images_of_other_sizes_are_cut_or_in_the_middle)
{
    rm_harness *harness = writer_of("h.png", ", \"columns\": 3");
    push_number(harness, 60, 40, 99);
    push_number(harness, 20, 10, 149);
    push_number(harness, 300, 200, 199);
    finish(harness);
    reading r = read_png("h.png");
    static const uint8_t frame[4] = {58, 63, 74, 255}, small[4] = {150, 150, 150, 255},
                         large[4] = {200, 200, 200, 255};
    int x = cell_x(1, 60), y = cell_y(0, 40);
    CHECK_INT(reading_off(&r, x, y, x + 20, y + 40, frame, 0), 0);
    CHECK_INT(reading_off(&r, x + 20, y + 15, x + 40, y + 25, small, 0), 0);
    x = cell_x(2, 60);
    CHECK_INT(reading_off(&r, x, y, x + 60, y + 40, large, 0), 0);
    rmi_free(r.rgba);
}

TEST(without_a_picture_there_is_no_file)
{
    finish(writer_of("i.png", ", \"columns\": 3"));
    CHECK(!is_there("i.png"));
    finish(writer_of("i.png", ""));
    CHECK(!is_there("i.png"));
}

TEST(pixels_that_are_not_square_are_noted)
{
    rm_harness *harness = writer_of("j.png", "");
    rm_packet *packet = picture_new(harness, RM_FOURCC_GRAY8, 8, 8);
    packet->header.format.video.sar_num = 4;
    packet->header.format.video.sar_den = 3;
    push(harness, packet);
    rm_harness_free(harness);
    FILE *file = fopen(path_of("j.png"), "rb");
    uint8_t bytes[64] = {0};
    CHECK(file && fread(bytes, 1, sizeof bytes, file) == sizeof bytes);
    if (file) {
        fclose(file);
    }
    /* Signature and IHDR take 33 bytes; a unit has 3 pixels across for 4 down. */
    static const uint8_t want[] = {0, 0, 0, 9, 'p', 'H', 'Y', 's', 0, 0, 0, 3, 0, 0, 0, 4, 0};
    CHECK(memcmp(bytes + 33, want, sizeof want) == 0);
}

TEST(a_slow_reader_gets_the_whole_file)
{
    int ends[2];
    char params[64];
    CHECK_INT(pipe(ends), 0);
    snprintf(params, sizeof params, "{\"path\": \"/proc/self/fd/%d\"}", ends[1]);
    rm_harness *harness = harness_of("image.write", params);
    rm_packet *packet = picture_new(harness, RM_FOURCC_RGB24, 300, 200);
    for (int i = 0; i < 200 * 960; i++) { /* more than a pipe holds */
        ((uint8_t *)packet->payload)[i] = noise((uint32_t)i);
    }
    CHECK_INT(rm_harness_push(harness, 0, packet), RM_OK);
    FILE *copy = fopen(path_of("k.png"), "wb");
    CHECK_INT(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    int waits = 0;
    for (rm_status status = RM_PENDING; status == RM_PENDING && waits < 1000; waits++) {
        uint8_t block[8192];
        status = run_well(harness);
        ssize_t bytes;
        while ((bytes = read(ends[0], block, sizeof block)) > 0) {
            CHECK_INT(fwrite(block, 1, (size_t)bytes, copy), bytes);
        }
        rm_harness_advance(harness, 2000000);
    }
    CHECK(waits > 1 && waits < 1000);
    fclose(copy);
    rm_harness_free(harness);
    close(ends[0]);
    close(ends[1]);
    reading r = read_png("k.png");
    CHECK_INT(r.width, 300);
    CHECK(r.rgba && r.rgba[4 * (300 * 199 + 7)] == noise(199 * 960 + 21));
    rmi_free(r.rgba);
}

TEST(a_full_disk_is_an_error_and_leaves_no_part_of_an_image)
{
    struct rlimit before, limit;
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){100, before.rlim_max};
    rm_harness *harness = writer_of("l.png", "");
    rm_packet *packet = picture_new(harness, RM_FOURCC_RGB24, 64, 64);
    for (int i = 0; i < 64 * 192; i++) {
        ((uint8_t *)packet->payload)[i] = noise((uint32_t)i);
    }
    CHECK_INT(rm_harness_push(harness, 0, packet), RM_OK);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
    rm_error err = run_badly(harness);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &before), 0);
    CHECK_INT(err.code, RM_CODE_MEDIA_WRITE);
    CHECK_CONTAINS(err.message, "l.png': File too large");
    CHECK_CONTAINS(err.help, "make room");
    CHECK(!is_there("l.png"));
    rm_harness_free(harness);
}

TEST(what_cannot_be_written_is_refused_before_anything_runs)
{
    static const struct {
        const char *params, *part;
        int code;
    } rows[] = {
        {"{\"path\": \"/no_such_folder/a.png\"}", "No such file or directory", RM_CODE_MEDIA_WRITE},
        {"{\"path\": \"/tmp\"}", "Is a directory", RM_CODE_MEDIA_WRITE},
        {"{\"path\": \"a-%s.png\"}", "want one %d or %03d at most", RM_CODE_PARAM_RANGE},
        {"{\"path\": \"a-%d-%d.png\"}", "want one %d or %03d at most", RM_CODE_PARAM_RANGE},
        {"{\"path\": \"a-%99999999999999d.png\"}", "want one %d or %03d", RM_CODE_PARAM_RANGE},
        {"{\"path\": \"a%\"}", "want one %d or %03d", RM_CODE_PARAM_RANGE},
        {"{\"path\": \"a-%d.png\", \"columns\": 3}", "a sheet is one file", RM_CODE_PARAM_RANGE},
        {"{\"path\": \"a.png\", \"columns\": 51}", "columns is 51, want 0 to 50",
         RM_CODE_PARAM_RANGE},
        {"{}", "path", RM_CODE_PARAM_MISSING},
    };
    for (size_t i = 0; i < RMI_COUNT(rows); i++) {
        rm_error err = refusal_of("image.write", rows[i].params);
        CHECK_INT(err.code, rows[i].code);
        CHECK_CONTAINS(err.message, rows[i].part);
    }
}

TEST(a_sheet_of_large_pictures_is_an_error_that_says_what_helps)
{
    rm_harness *harness = writer_of("m.png", ", \"columns\": 50, \"pictures\": 1000");
    CHECK_INT(rm_harness_push(harness, 0, picture_new(harness, RM_FOURCC_GRAY8, 640, 480)), RM_OK);
    rm_error err = run_badly(harness);
    CHECK_INT(err.status, RM_ELIMIT);
    CHECK_CONTAINS(err.message, "a sheet of 1000 images of 640 x 480 pixels takes");
    CHECK_CONTAINS(err.help, "video.scale");
    rm_harness_free(harness);
}

TEST(a_header_that_lies_is_refused)
{
    rm_harness *harness = writer_of("n.png", "");
    rm_packet *packet = picture_new(harness, RM_FOURCC_I420, 64, 64);
    packet->header.format.video.height = 65;
    CHECK_INT(rm_harness_push(harness, 0, packet), RM_OK);
    CHECK_INT(run_badly(harness).code, RM_CODE_PACKET_HEADER);
    rm_harness_free(harness);
    CHECK(!is_there("n.png"));
}

/* A sheet of two pictures. */
static rm_status two_pictures(void)
{
    char params[512];
    rm_harness *harness = NULL;
    snprintf(params, sizeof params, "{\"path\": \"%s\", \"columns\": 2}", path_of("o.png"));
    rm_status status = rm_harness_load("image.write", params, &harness, NULL);
    for (int i = 0; i < 2 && status == RM_OK; i++) {
        rm_packet *packet = NULL;
        status = rm_harness_packet_new(harness, 64 * 8, &packet);
        if (status == RM_OK) {
            rm_packet_header *h = &packet->header;
            h->kind = RM_KIND_VIDEO;
            h->format.video.fourcc = RM_FOURCC_GRAY8;
            h->format.video.width = h->format.video.height = 8;
            h->format.video.planes = 1;
            h->instance.video.stride_bytes[0] = 64;
            status = rm_harness_push(harness, 0, packet);
        }
    }
    if (status == RM_OK) {
        rm_harness_end(harness, 0);
        status = rm_harness_run(harness, NULL);
    }
    rm_harness_free(harness);
    return status;
}

TEST(each_allocation_may_fail)
{
    for (unsigned nth = 1; nth < 2000; nth++) {
        rmi_alloc_fault_begin(nth);
        rm_status status = two_pictures();
        bool struck = rmi_alloc_fault_end();
        CHECK(status == RM_ENOMEM || status == RM_DONE || status == RM_EAGAIN ||
              status == RM_PENDING);
        CHECK(status != RM_DONE || is_there("o.png"));
        if (status == RM_DONE) {
            CHECK_INT(unlink(path_of("o.png")), 0);
        }
        if (!struck) {
            CHECK_INT(status, RM_DONE);
            CHECK(nth > 20);
            return;
        }
    }
    CHECK(!"the loop ends");
}

int main(int argc, char **argv)
{
    static const rmi_test tests[] = {
        T(pixels_are_read_back_as_they_were),
        T(colours_follow_the_matrix_and_range_of_the_header),
        T(a_turned_picture_is_written_upright),
        T(one_file_takes_one_picture_and_no_more),
        T(numbered_files_take_each_or_every_third),
        T(a_sheet_shows_all_that_came_or_thins_it_out),
        T(a_sheet_of_every_third_ends_when_it_is_full),
        T(images_of_other_sizes_are_cut_or_in_the_middle),
        T(without_a_picture_there_is_no_file),
        T(pixels_that_are_not_square_are_noted),
        T(a_slow_reader_gets_the_whole_file),
        T(a_full_disk_is_an_error_and_leaves_no_part_of_an_image),
        T(what_cannot_be_written_is_refused_before_anything_runs),
        T(a_sheet_of_large_pictures_is_an_error_that_says_what_helps),
        T(a_header_that_lies_is_refused),
        T(each_allocation_may_fail),
    };
    if (!mkdtemp(folder)) {
        printf("Bail out! no temporary folder\n");
        return 1;
    }
    int result = rmi_test_main(tests, RMI_COUNT(tests), argc, argv);
    (void)unlink(path_of("j.png"));
    if (rmdir(folder) != 0) {
        printf("# %s is not empty\n", folder);
        result = 1;
    }
    return result;
}
