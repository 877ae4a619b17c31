//! The roofline of a profile (Williams, Waterman and Patterson, 2009), as an SVG that stands alone.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::{Ceilings, KernelTime};

/// Kernels that are named in the drawing.
const NAMED: usize = 8;

/// Operations a second over operations a byte, both logarithmic, one circle a launch, its area the share of time. `None` if no launch computes.
pub fn svg(kernels: &[KernelTime], ceilings: &Ceilings) -> Result<Option<String>> {
    let all: f64 = kernels.iter().map(|k| k.time.as_secs_f64()).sum();
    let points: Vec<(f64, f64, f64, &str)> = kernels
        .iter()
        .filter(|k| k.operations > 0.0 && k.bytes > 0.0 && !k.time.is_zero())
        .map(|k| {
            let time = k.time.as_secs_f64();
            (k.operations / k.bytes, k.operations / time / 1e9, time / all, k.name.as_str())
        })
        .collect();
    if points.is_empty() {
        return Ok(None);
    }
    let mut text = String::new();
    draw(&mut text, &points, ceilings).map_err(|error| anyhow!("the roofline cannot be drawn: {error}"))?;
    Ok(Some(text))
}

fn draw(
    text: &mut String,
    points: &[(f64, f64, f64, &str)],
    ceilings: &Ceilings,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (peak, bandwidth) = (ceilings.operations.max(ceilings.products) / 1e9, ceilings.bandwidth / 1e9);
    let low = points.iter().map(|p| p.1).fold(peak, f64::min) / 2.0;
    let ends =
        points.iter().map(|p| p.0).fold((0.05, 500.0), |(low, high): (f64, f64), x| (low.min(x / 2.0), high.max(x * 2.0)));
    let root = SVGBackend::with_string(text, (900, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("{peak:.0} GFLOP/s, {bandwidth:.1} GB/s, {} threads", ceilings.threads), ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d((ends.0..ends.1).log_scale(), (low..peak * 2.0).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("operations a byte")
        .y_desc("GFLOP/s")
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .label_style(("sans-serif", 15))
        .axis_desc_style(("sans-serif", 17))
        .draw()?;
    let knee = peak / bandwidth;
    let roof = [(ends.0, ends.0 * bandwidth), (knee.clamp(ends.0, ends.1), peak.min(ends.1 * bandwidth)), (ends.1, peak)];
    chart.draw_series(LineSeries::new(roof.into_iter().filter(|p| p.1 >= low), BLACK.stroke_width(2)))?;
    let size = |share: f64| (3.0 + 22.0 * share.sqrt()) as i32;
    chart.draw_series(points.iter().map(|p| Circle::new((p.0, p.1), size(p.2), BLUE.mix(0.35).filled())))?;
    chart
        .draw_series(points.iter().take(NAMED).map(|p| Text::new(p.3.to_string(), (p.0 * 1.08, p.1), ("sans-serif", 14))))?;
    root.present()?;
    drop(chart);
    drop(root);
    Ok(())
}
