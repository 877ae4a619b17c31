//! The loss curve, as an SVG that stands alone.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::progress::Smooth;
use crate::whole_file;

const TRAINED: RGBColor = RGBColor(31, 119, 180);
const HELD_OUT: RGBColor = RGBColor(214, 39, 40);

/// Draws training losses (smoothed, the single ones pale behind) and held-out losses over steps, and writes the file whole.
/// Losses that are not finite are left out; without any, nothing is written.
///
/// # Errors
/// A file that cannot be written.
pub fn write(path: &Path, title: &str, losses: &[(u64, f64)], held_out: &[(u64, f64)]) -> Result<()> {
    match svg(title, losses, held_out)? {
        Some(svg) => whole_file::write_bytes(path, svg.as_bytes()),
        None => Ok(()),
    }
}

/// The drawing; `None` if there is nothing finite to draw.
fn svg(title: &str, losses: &[(u64, f64)], held_out: &[(u64, f64)]) -> Result<Option<String>> {
    let finite = |all: &[(u64, f64)]| all.iter().copied().filter(|(_, loss)| loss.is_finite()).collect::<Vec<_>>();
    let (losses, held_out) = (finite(losses), finite(held_out));
    let all = || losses.iter().chain(&held_out);
    let Some(last) = all().map(|(step, _)| *step).max() else {
        return Ok(None);
    };
    let low = all().map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min);
    let high = all().map(|(_, loss)| *loss).fold(f64::NEG_INFINITY, f64::max);
    let margin = ((high - low) * 0.05).max(high.abs() * 1e-3).max(1e-6);

    let mut text = String::new();
    draw(&mut text, title, &thin(&losses), &smooth(&losses), &held_out, last, (low - margin)..(high + margin))
        .map_err(|error| anyhow!("the loss curve cannot be drawn: {error}"))?;
    Ok(Some(text))
}

type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw(
    text: &mut String,
    title: &str,
    single: &[(u64, f64)],
    smoothed: &[(u64, f64)],
    held_out: &[(u64, f64)],
    last: u64,
    range: std::ops::Range<f64>,
) -> Drawn {
    let root = SVGBackend::with_string(text, (800, 480)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d(0..last.max(1), range)?;
    chart
        .configure_mesh()
        .x_desc("step")
        .y_desc("loss")
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_label_formatter(&|step| crate::console::thousands(*step))
        .y_label_formatter(&|loss| format!("{loss:.2}"))
        .label_style(("sans-serif", 17))
        .axis_desc_style(("sans-serif", 18))
        .draw()?;
    if !smoothed.is_empty() {
        chart.draw_series(LineSeries::new(single.iter().copied(), TRAINED.mix(0.25)))?;
        chart
            .draw_series(LineSeries::new(smoothed.iter().copied(), TRAINED.stroke_width(2)))?
            .label("training (smoothed)")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], TRAINED.stroke_width(2)));
    }
    if !held_out.is_empty() {
        chart.draw_series(LineSeries::new(held_out.iter().copied(), HELD_OUT.stroke_width(1)))?;
        chart
            .draw_series(held_out.iter().map(|point| Circle::new(*point, 4, HELD_OUT.filled())))?
            .label("held out")
            .legend(|(x, y)| Circle::new((x + 10, y), 4, HELD_OUT.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 17))
        .draw()?;
    root.present()?;
    drop(chart);
    drop(root);
    Ok(())
}

/// At most this many points a line: a screen has no more.
const POINTS: usize = 1000;

fn thin(losses: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let every = losses.len().div_ceil(POINTS).max(1);
    losses.iter().copied().step_by(every).collect()
}

fn smooth(losses: &[(u64, f64)]) -> Vec<(u64, f64)> {
    // Over about a fiftieth of the run.
    let mut mean = Smooth::new((50.0 / losses.len().max(1) as f64).clamp(0.005, 0.5));
    let all: Vec<_> = losses.iter().map(|(step, loss)| (*step, mean.push(*loss))).collect();
    thin(&all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_has_axes_and_both_lines() {
        let losses: Vec<_> = (1..=5000).map(|step| (step, 4.0 / (step as f64).sqrt() + 1.5)).collect();
        let svg = svg("tiny <model>", &losses, &[(250, 2.0), (500, f64::NAN), (5000, 1.6)]).unwrap().unwrap();
        for part in ["tiny &lt;model&gt;", ">\nstep\n<", ">\nloss\n<", "training (smoothed)", "held out", "5,000"] {
            assert!(svg.contains(part), "{part} is missing in {svg}");
        }
        // Two points and the sign in the legend.
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.len() < 100_000 && svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn one_point_or_none_do_no_harm() {
        assert!(svg("a", &[(1, 0.0)], &[]).unwrap().is_some());
        assert!(svg("a", &[(1, f64::NAN)], &[]).unwrap().is_none());
    }
}
